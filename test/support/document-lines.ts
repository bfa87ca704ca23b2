/** The lines of the results in the text of a document, with 0 for their times. */
export function timelessLines(text: string): string[] {
  const [, results = ''] = /"results":\[\n(.*)\n\],\n"errors":/s.exec(text) ?? [];
  return results
    .split(',\n')
    .map((each) =>
      each.replace(
        /"startedMs":\d+,"durationMs":\d+,"waitedMs":\d+,/,
        '"startedMs":0,"durationMs":0,"waitedMs":0,',
      ),
    );
}
