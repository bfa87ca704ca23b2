/** The outcomes that the reader has picked, for all that shows posts; with none picked, all are shown. */
export class OutcomeFilter {
  readonly #picked = new Set<number>();
  readonly #listeners: (() => void)[] = [];

  /** By their places in `outcomes`; undefined: all. */
  get chosen(): ReadonlySet<number> | undefined {
    return this.#picked.size === 0 ? undefined : this.#picked;
  }

  /** Whether it is picked itself. */
  has(outcome: number): boolean {
    return this.#picked.has(outcome);
  }

  toggle(outcome: number): void {
    if (!this.#picked.delete(outcome)) this.#picked.add(outcome);
    this.#tell();
  }

  clear(): void {
    this.#picked.clear();
    this.#tell();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
