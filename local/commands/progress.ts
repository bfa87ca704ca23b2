import { subscribe, unsubscribe } from 'node:diagnostics_channel';

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
