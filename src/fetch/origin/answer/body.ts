/** The least that is taken for a body of more than one chunk. */
const LEAST_BYTES = 4_096;

/**
 * The bytes of a body, as they come: one chunk is kept as it is, more are copied together, as each chunk would hold on
 * to all that was read with it.
 */
export class Body {
  #bytes: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#bytes === undefined) this.#bytes = chunk;
    else {
      if (length > this.#bytes.length || this.#bytes.length < LEAST_BYTES) this.#grow(length);
      chunk.copy(this.#bytes, this.#length);
    }
    this.#length = length;
  }

  /** All that has come. */
  bytes(): Buffer {
    const bytes = this.#bytes ?? NONE;
    return bytes.length === this.#length ? bytes : bytes.subarray(0, this.#length);
  }

  #grow(length: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, 2 * length));
    bytes.set(this.bytes());
    this.#bytes = bytes;
  }
}

const NONE = Buffer.alloc(0);
