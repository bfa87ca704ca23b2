import type { Id } from '../../src/batch/ids.ts';
import type { AttemptResult, RequestPost, RunOrigin } from '../../src/fetch/origin/attempt.ts';
import type { FakeClock } from './fake-clock.ts';

export type Step = AttemptResult & { readonly tookMs?: number };

export const answer = (body: string, status = 200): Step => ({
  kind: 'response',
  status,
  body: Buffer.from(body),
});
export const post = (id: Id): Step => answer(`{"id":${JSON.stringify(id)}}`);
export const notFound = answer('{}', 404);

/** An origin that requests are made of in this way, and that sends no more than it is asked for. */
export const originOf = (requestPost: RequestPost): RunOrigin => ({
  startRun: () => ({ requestPost, unsolicited: () => 0 }),
});

/** A server by a script, on a clock: each answer takes 10 ms, or `tookMs`. */
export class ScriptedOrigin {
  readonly requested: Id[] = [];
  inFlight = 0;
  mostInFlight = 0;
  readonly #clock: FakeClock;
  readonly #script: (id: Id, index: number) => Step | Promise<Step>;

  constructor(clock: FakeClock, script: (id: Id, index: number) => Step | Promise<Step>) {
    this.#clock = clock;
    this.#script = script;
  }

  readonly requestPost: RequestPost = async (id, timeoutMs, signal) => {
    const index = this.requested.push(id) - 1;
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      const { tookMs = 10, ...attempt } = await this.#script(id, index);
      return await new Promise<AttemptResult>((resolve, reject) => {
        const inTime = tookMs < timeoutMs;
        const cancel = this.#clock.after(inTime ? tookMs : timeoutMs, () =>
          resolve(inTime ? attempt : { kind: 'timed-out' }),
        );
        const onAbort = (): void => {
          cancel();
          reject(signal.reason);
        };
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort, { once: true });
      });
    } finally {
      this.inFlight -= 1;
    }
  };
}
