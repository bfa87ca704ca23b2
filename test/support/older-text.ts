/**
 * A document, or outcomes by themselves, as earlier versions wrote them: they said neither what a post waited, nor of
 * which run a line is, nor when the origin was paused.
 */
export function olderText(text: string): string {
  return text
    .replaceAll(/^\{"runId":"[^"]+",/gm, '{')
    .replaceAll(/"waitedMs":(?:\d+|null),/g, '')
    .replace(/"pauses":\[[^\]]*\],/, '');
}
