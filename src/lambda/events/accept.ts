/** To its end, or to that of the field: whatever comes is matched once. */
const QUOTED = /"(?:\\.|[^"\\])*(?:"|\\?$)/gs;
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/** A media range, and how much whoever asks wants what is in it. */
interface Range {
  readonly range: string;
  readonly weight: number;
}

/**
 * Whether a caller wants HTML rather than JSON, by the field Accept (RFC 9110): a browser does. JSON is what everybody gets
 * who says nothing, likes both as much, or takes neither.
 */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = (accept ?? '')
    // A comma or semicolon in quotes is a part of a value.
    .replaceAll(QUOTED, (quoted) => quoted.replaceAll(/[,;]/g, '_'))
    .split(',')
    .flatMap((member) => rangeOf(member) ?? []);
  return weightOf('text/html', ranges) > weightOf('application/json', ranges);
}

/** Undefined of what is none, and of a range with parameters that no reply has. */
function rangeOf(member: string): Range | undefined {
  const [range = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase());
  const isWeight = (parameter: string): boolean => parameter.startsWith('q=');
  const weight = parameters.find(isWeight)?.slice(2) ?? '1';
  const isOurs = parameters.every(
    (parameter) => isWeight(parameter) || parameter === '' || /^charset="?utf-8"?$/.test(parameter),
  );
  return isOurs && WEIGHT.test(weight) ? { range, weight: Number(weight) } : undefined;
}

/** By the range that says most of this type. */
function weightOf(type: string, ranges: readonly Range[]): number {
  const [kind] = type.split('/');
  for (const name of [type, `${kind}/*`, '*/*']) {
    const found = ranges.find(({ range }) => range === name);
    if (found) return found.weight;
  }
  return 0;
}
