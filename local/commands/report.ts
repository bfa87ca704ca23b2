import { stripVTControlCharacters, styleText } from 'node:util';
import type { ErrorSummary, RunSummary } from '../../src/document/tally.ts';
import type { Reason } from '../../src/fetch/outcome.ts';

/** As much of a run as is shown of it. */
export interface ShownRun {
  readonly results: readonly Outcome[];
  readonly errors: Pick<ErrorSummary, 'byCode'>;
  readonly summary: Pick<
    RunSummary,
    'durationMs' | 'requested' | 'fulfilled' | 'rejected' | 'attempts' | 'complete'
  >;
}

/** As much of a line of the results as is shown of it. */
export type Outcome =
  | { readonly index: number; readonly status: 'fulfilled'; readonly value: unknown }
  | { readonly index: number; readonly status: 'rejected'; readonly reason: Pick<Reason, 'message'> };

/** Of longer runs neither every post nor the document is for reading on a terminal. */
export const shownWhole = 20;

/** A line for each post (of a long run: the first ten and the last), and one that sums up. */
export function describeRun({ results, errors, summary }: ShownRun): string {
  const lines = results.map(describeOutcome);
  if (lines.length > shownWhole) {
    const left = lines.length - 11;
    lines.splice(10, left, styleText('dim', `… ${count(left)} more`));
  }
  const byCode = describeCodes(errors);
  const sum = [
    `${count(summary.requested, 'post')} in ${count(summary.durationMs)} ms: ${count(summary.fulfilled)} fulfilled`,
    `${count(summary.rejected)} rejected${byCode.length > 0 ? ` (${byCode.join(', ')})` : ''}`,
    count(summary.attempts, 'attempt'),
    ...(summary.complete ? [] : ['not complete: the time ran out']),
  ];
  return [...lines, '', styleText('bold', sum.join(', '))].join('\n');
}

/** `Post 1: …` or `Post 2 failed: …`, with its position from 1. */
export function describeOutcome(outcome: Outcome): string {
  const position = outcome.index + 1;
  return outcome.status === 'fulfilled'
    ? `Post ${position}: ${onTerminal(titleOf(outcome.value))}`
    : styleText('red', `Post ${position} failed: ${onTerminal(outcome.reason.message)}`);
}

/** `NOT_FOUND 2`, for each code. */
export function describeCodes({ byCode }: Pick<ErrorSummary, 'byCode'>): string[] {
  return Object.entries(byCode).map(([code, times]) => `${code} ${count(times)}`);
}

function titleOf(value: unknown): string {
  const hasTitle = typeof value === 'object' && value !== null && 'title' in value;
  return hasTitle && typeof value.title === 'string' ? value.title : JSON.stringify(value);
}

/** In one line of so many characters: what a server sent may hold line breaks and commands to the terminal. */
export function onTerminal(received: string, mostChars = 100): string {
  const line = stripVTControlCharacters(received).replace(/[\s\p{Cc}]+/gu, ' ');
  return line.length > mostChars ? `${line.slice(0, mostChars - 1)}…` : line;
}

/** `1,000`, or `1,000 posts`. */
export function count(number: number, noun?: string): string {
  const figure = number.toLocaleString('en');
  return noun === undefined ? figure : `${figure} ${noun}${number === 1 ? '' : 's'}`;
}
