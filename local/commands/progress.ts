import { subscribe, unsubscribe } from 'node:diagnostics_channel';

/** As much of a terminal's stream as a line needs. */
export interface Terminal {
  write(text: string): unknown;
}

// undici publishes it when a response has been read to its end, whichever copy of undici the bundle carries.
const answeredChannel = 'undici:request:trailers';
const eraseLine = '\r\u001b[K';

/**
 * Keeps a line on the terminal that counts the requests to `origin` which were answered; a retry is a request
 * like any other. Returns a function that stops it and erases the line. It keeps no process alive.
 */
export function showProgress(origin: string, terminal: Terminal): () => void {
  let answered = 0;
  let firstAt = 0;
  const count = (message: unknown) => {
    const { request } = message as { request: { origin?: string | URL } }; // as undici documents it
    if (URL.parse(String(request.origin))?.origin !== origin) return;
    if (answered === 0) firstAt = performance.now();
    answered += 1;
  };
  const draw = () => {
    if (answered === 0) return;
    const seconds = (performance.now() - firstAt) / 1000;
    const rate = seconds < 0.5 ? '' : `, ${Math.round(answered / seconds).toLocaleString('en')} a second`;
    terminal.write(`${eraseLine}${answered.toLocaleString('en')} requests answered${rate}`);
  };
  subscribe(answeredChannel, count);
  const timer = setInterval(draw, 100).unref();
  return () => {
    unsubscribe(answeredChannel, count);
    clearInterval(timer);
    terminal.write(eraseLine);
  };
}
