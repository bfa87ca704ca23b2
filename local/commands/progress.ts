import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { count, describeSeconds } from './report.ts';

/** As much of a terminal's stream as a line needs. */
export interface Terminal {
  write(text: string): unknown;
}

/** Takes a line off the terminal, for another one in its place. */
export const eraseLine = '\r\u001b[K';

const barWidth = 32;

/** A bar of 32 characters that is filled as far as this is done. */
export function barOf(done: number, of: number): string {
  const filled = Math.min(barWidth, Math.floor((barWidth * done) / Math.max(1, of)));
  return '█'.repeat(filled) + '░'.repeat(barWidth - filled);
}

/** How many requests an origin has answered. */
export interface Answers {
  readonly count: number;
  /** Milliseconds from the first one on. */
  readonly sinceMs: number;
  stop(): void;
}

// undici publishes it when a response has been read to its end, whichever copy of undici the bundle carries.
const answeredChannel = 'undici:request:trailers';

/** Counts the requests of this process that `origin` answers; a retry is a request like any other. */
export function countAnswers(origin: string | undefined): Answers {
  let count = 0;
  let firstAtMs = 0;
  const onAnswer = (message: unknown): void => {
    const { request } = message as { request: { origin?: string | URL } }; // as undici documents it
    if (URL.parse(String(request.origin))?.origin !== origin) return;
    if (count === 0) firstAtMs = performance.now();
    count += 1;
  };
  subscribe(answeredChannel, onAnswer);
  return {
    get count() {
      return count;
    },
    get sinceMs() {
      return count === 0 ? 0 : performance.now() - firstAtMs;
    },
    stop: () => unsubscribe(answeredChannel, onAnswer),
  };
}

/**
 * Keeps a line on the terminal that counts the requests which `origin` answered. Returns a function that stops it and
 * erases the line. It keeps no process alive.
 */
export function showProgress(origin: string, terminal: Terminal): () => void {
  const answers = countAnswers(origin);
  const draw = (): void => {
    if (answers.count === 0) return;
    const seconds = answers.sinceMs / 1000;
    const rate =
      seconds < 0.5 ? '' : `, ${Math.round(answers.count / seconds).toLocaleString('en')} a second`;
    terminal.write(`${eraseLine}${answers.count.toLocaleString('en')} requests answered${rate}`);
  };
  const timer = setInterval(draw, 100).unref();
  return () => {
    answers.stop();
    clearInterval(timer);
    terminal.write(eraseLine);
  };
}

/** What a process tells its parent, through the channel between them. */
export interface AnswersMessage {
  readonly answered: number;
}

/**
 * Tells the parent process how many requests `origin` answered, as they are, and ends with it. Returns a function that
 * stops that. It keeps no process alive.
 */
export function tellParent(origin: string): () => void {
  const answers = countAnswers(origin);
  const tell = (): void => {
    process.send?.({ answered: answers.count } satisfies AnswersMessage);
  };
  const timer = setInterval(tell, 100).unref();
  const end = (): never => process.exit(1);
  process.once('disconnect', end);
  process.channel?.unref();
  return () => {
    answers.stop();
    clearInterval(timer);
    process.off('disconnect', end);
  };
}

/** How far a run is. */
export interface Progress {
  /** `1,200 of 5,000 posts, 12 failed, 1,000 a second, 4 s left` */
  readonly text: string;
  /** From 0 to 1. */
  readonly share: number;
}

/** A line on the terminal that says how far a run is, below all that is said meanwhile. */
export interface ProgressLine {
  /** Says something once, in a line that stays. */
  say(line: string): void;
  /** Takes the line off. */
  stop(): void;
}

/** So seldom it is written anew where it stays. */
const TELL_MS = 1_000;

/**
 * Keeps a line up to date with what `progress` says; where that is undefined, there is none. What is no terminal gets it
 * anew when a tenth more of the run is done, and at most once a second. It keeps no process alive.
 */
export function keepProgressLine(
  output: Terminal & { readonly isTTY?: boolean },
  progress: () => Progress | undefined,
): ProgressLine {
  let tenths = 0;
  const erase = (): void => {
    if (output.isTTY) output.write(eraseLine);
  };
  const draw = (): void => {
    const now = progress();
    if (now) output.write(eraseLine + now.text);
  };
  const tell = (): void => {
    const now = progress();
    if (!now || Math.floor(10 * now.share) <= tenths || now.share === 1) return;
    tenths = Math.floor(10 * now.share);
    output.write(`${now.text}\n`);
  };
  const timer = setInterval(output.isTTY ? draw : tell, output.isTTY ? 100 : TELL_MS).unref();
  return {
    say(line) {
      erase();
      output.write(`${line}\n`);
    },
    stop() {
      clearInterval(timer);
      erase();
    },
  };
}

/** How many posts of how many are done, in how long. */
export interface Done {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  readonly ms: number;
}

/** With its rate, and how long the rest will take, once the time says anything of that. */
export function describeDone({ done, total, failed, ms }: Done): Progress {
  const perSecond = done / (ms / 1_000);
  const words = [
    `${count(done)} of ${count(total, 'post')}`,
    ...(failed > 0 ? [`${count(failed)} failed`] : []),
    ...(ms < 500 || done === 0
      ? []
      : [`${count(Math.round(perSecond))} a second`, `${describeSeconds((total - done) / perSecond)} left`]),
  ];
  return { text: words.join(', '), share: total === 0 ? 1 : done / total };
}
