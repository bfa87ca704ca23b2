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
  | {
      readonly index: number;
      readonly status: 'fulfilled';
      readonly value: unknown;
      /** The value as it came. @default what JSON makes of it */
      readonly valueText?: string;
    }
  | { readonly index: number; readonly status: 'rejected'; readonly reason: Pick<Reason, 'message'> };

/** The outcome that a line of the results has. */
export function parseOutcome(line: Buffer): Outcome {
  const text = line.toString();
  const outcome: Outcome = JSON.parse(text);
  // The value is the last member; what stands before it holds no text from outside, and so not this either.
  const start = text.indexOf(VALUE) + VALUE.length;
  return outcome.status === 'fulfilled' ? { ...outcome, valueText: text.slice(start, -1) } : outcome;
}

const VALUE = '"value":';

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
    ? `Post ${position}: ${onTerminal(titleOf(outcome))}`
    : styleText('red', `Post ${position} failed: ${onTerminal(outcome.reason.message)}`);
}

/** `NOT_FOUND 2`, for each code. */
export function describeCodes({ byCode }: Pick<ErrorSummary, 'byCode'>): string[] {
  return Object.entries(byCode).map(([code, times]) => `${code} ${count(times)}`);
}

function titleOf({ value, valueText = JSON.stringify(value) }: Outcome & { status: 'fulfilled' }): string {
  const hasTitle = typeof value === 'object' && value !== null && 'title' in value;
  return hasTitle && typeof value.title === 'string' ? value.title : valueText;
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

/** `35 s`, `2 min 5 s`, `1 h 3 min`, rounded up. */
export function describeSeconds(duration: number): string {
  const seconds = Math.ceil(duration);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${count(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}
