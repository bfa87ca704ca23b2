const CHUNK_BYTES = 65_536;
/** A UTF-16 unit takes at most 3 bytes of UTF-8. */
const MAX_BYTES_PER_CHAR = 3;

/** Joins many small texts and values into few large chunks, which `take` hands over once they are worth it. */
export class ChunkWriter {
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #length = 0;
  #full: Buffer[] = [];

  text(text: string): void {
    if (text.length * MAX_BYTES_PER_CHAR > CHUNK_BYTES) {
      this.bytes(Buffer.from(text));
      return;
    }
    this.#reserve(text.length * MAX_BYTES_PER_CHAR);
    this.#length += this.#chunk.write(text, this.#length);
  }

  bytes(bytes: Buffer): void {
    if (bytes.length > CHUNK_BYTES) {
      this.#flush();
      this.#full.push(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#length += bytes.copy(this.#chunk, this.#length);
  }

  /** Whether there are chunks to take. */
  get isFull(): boolean {
    return this.#full.length > 0;
  }

  /** The chunks that are full, which are the caller's from now on; with `all`, the one that is not as well. */
  take(all = false): Buffer[] {
    if (all) this.#flush();
    const chunks = this.#full;
    if (chunks.length > 0) this.#full = [];
    return chunks;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > CHUNK_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#length === 0) return;
    this.#full.push(this.#chunk.subarray(0, this.#length));
    this.#chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    this.#length = 0;
  }
}
