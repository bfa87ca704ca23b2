/** Lines of outcomes as they are printed, each with the run that it is of first. */
export function printedLines(runId: string, lines: readonly string[]): string {
  return lines.map((line) => `{"runId":"${runId}",${line.slice(1)}\n`).join('');
}
