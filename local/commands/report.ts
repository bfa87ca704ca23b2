import { stripVTControlCharacters, styleText } from 'node:util';

/** As much of a stored document as the report shows. */
export interface Report {
  readonly results: readonly Outcome[];
  readonly errors: { readonly byCode: Readonly<Record<string, number>> };
  readonly summary: {
    readonly durationMs: number;
    readonly requested: number;
    readonly fulfilled: number;
    readonly rejected: number;
    readonly attempts: number;
    readonly complete: boolean;
  };
}

export type Outcome =
  | { readonly index: number; readonly status: 'fulfilled'; readonly value: unknown }
  | { readonly index: number; readonly status: 'rejected'; readonly reason: { readonly message: string } };

/** Of longer runs neither every post nor the document is for reading on a terminal. */
export const shownWhole = 20;

/** A line for each post (of a long run: the first ten and the last), and one that sums up. */
export function reportOf({ results, errors, summary }: Report): string {
  const lines = results.map(lineOf);
  if (lines.length > shownWhole) {
    const left = lines.length - 11;
    lines.splice(10, left, styleText('dim', `… ${count(left)} more`));
  }
  const byCode = Object.entries(errors.byCode).map(([code, times]) => `${code} ${count(times)}`);
  const sum = [
    `${count(summary.requested, 'post')} in ${count(summary.durationMs)} ms: ${count(summary.fulfilled)} fulfilled`,
    `${count(summary.rejected)} rejected${byCode.length > 0 ? ` (${byCode.join(', ')})` : ''}`,
    count(summary.attempts, 'attempt'),
    ...(summary.complete ? [] : ['not complete: the time ran out']),
  ];
  return [...lines, '', styleText('bold', sum.join(', '))].join('\n');
}

/** `Post 1: …` or `Post 2 failed: …`, with its position from 1. */
export function lineOf(outcome: Outcome): string {
  const position = outcome.index + 1;
  return outcome.status === 'fulfilled'
    ? `Post ${position}: ${onTerminal(titleOf(outcome.value))}`
    : styleText('red', `Post ${position} failed: ${onTerminal(outcome.reason.message)}`);
}

function titleOf(value: unknown): string {
  const hasTitle = typeof value === 'object' && value !== null && 'title' in value;
  return hasTitle && typeof value.title === 'string' ? value.title : JSON.stringify(value);
}

// What a server sent may hold line breaks and commands to the terminal.
function onTerminal(received: string): string {
  const line = stripVTControlCharacters(received).replace(/[\s\p{Cc}]+/gu, ' ');
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}

function count(number: number, noun?: string): string {
  const figure = number.toLocaleString('en');
  return noun === undefined ? figure : `${figure} ${noun}${number === 1 ? '' : 's'}`;
}
