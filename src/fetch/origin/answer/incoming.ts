import type { AttemptResult, Response } from '../attempt.ts';
import { Body } from './body.ts';
import { codingsOf, decode, mostCodedBytes } from './decoders.ts';
import { type Headers, waitFieldsOf } from './wait-fields.ts';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** An error's body is of no use; a longer one costs more to read than its connection is worth. */
const MAX_ERROR_BODY_BYTES = 65_536;
const NO_BODY = Buffer.alloc(0);

/** What has come of a response. */
export class Incoming {
  readonly #maxBodyBytes: number;
  readonly #body = new Body();
  #status = 0;
  #headers: Headers = {};
  #codings: readonly string[] | undefined;
  #mostBytes = 0;
  #errorBytes = 0;

  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** 0 until it has come. */
  get status(): number {
    return this.#status;
  }

  /** Whether the status is all of use that will come, as that of an error. */
  get isError(): boolean {
    return this.#status >= 300;
  }

  /** Where the response sends us, if it does; an empty Location sends nowhere. */
  get location(): string | undefined {
    if (!REDIRECTS.has(this.#status)) return undefined;
    const { location } = this.#headers;
    return (Array.isArray(location) ? location[0] : location) || undefined;
  }

  /** Takes the head. */
  begin(status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
    this.#codings = codingsOf(headers['content-encoding']);
    this.#mostBytes = this.#codings ? mostCodedBytes(this.#maxBodyBytes) : this.#maxBodyBytes;
  }

  /** Takes a part of the body. Gives the result where that is more than is taken of one. */
  add(chunk: Buffer): AttemptResult | undefined {
    if (this.isError) {
      // Read all the same: an unread body holds its connection.
      this.#errorBytes += chunk.length;
      return this.#errorBytes > MAX_ERROR_BODY_BYTES ? this.response() : undefined;
    }
    if (this.#body.length + chunk.length > this.#mostBytes) return this.#tooLarge();
    this.#body.add(chunk);
    return undefined;
  }

  /** The result of a response whose body is left aside. */
  response(body: Buffer = NO_BODY): Response {
    return { kind: 'response', status: this.#status, body, ...waitFieldsOf(this.#headers) };
  }

  /**
   * The result of a response that has come in full. A promise where the body has to be decoded: of undefined, where the
   * reader `isOver` when the body's turn comes; it rejects where the body is broken.
   */
  end(reader: { readonly isOver: boolean }): AttemptResult | Promise<AttemptResult | undefined> {
    const body = this.#body.bytes();
    // A body without a byte is empty, whatever coding it is said to have.
    if (!this.#codings || body.length === 0) return this.response(body);
    return decode(body, this.#codings, this.#maxBodyBytes, () => !reader.isOver).then((decoded) => {
      switch (decoded?.kind) {
        case 'decoded':
          return this.response(decoded.body);
        case 'too-large':
          return this.#tooLarge();
        case 'unknown-coding':
          return { ...decoded, status: this.#status, ...waitFieldsOf(this.#headers) };
        case undefined:
          return undefined;
      }
    });
  }

  #tooLarge(): AttemptResult {
    return { kind: 'too-large', status: this.#status, ...waitFieldsOf(this.#headers) };
  }
}
