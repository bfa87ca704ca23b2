import { countIds, type IdList } from './ids.ts';

/** A range takes as much memory as about so many numbers. */
const MIN_RANGE_IDS = 8;

/** The same ids, in which integers one after the other are a range, where that is smaller. */
export function compact(ids: IdList): IdList {
  const list = new CompactIds();
  for (const id of ids) list.push(id);
  return list.end();
}

/** A list of ids that is added to, in which integers one after the other are a range, where that is smaller. */
export class CompactIds {
  readonly #ids: IdList[number][] = [];
  /** Integers that are not in the list yet; none where `to` is just below `from`. */
  #from = 0;
  #to = -1;
  #count = 0;

  /** How many ids there are, ranges counted out. */
  get count(): number {
    return this.#count;
  }

  /** How many ids and ranges the list takes, about. */
  get size(): number {
    return this.#ids.length;
  }

  push(id: IdList[number]): void {
    this.#count += countIds([id]);
    if (typeof id === 'string') {
      this.#flush();
      this.#ids.push(id);
      return;
    }
    const { from, to } = typeof id === 'number' ? { from: id, to: id } : id;
    if (from !== this.#to + 1) {
      this.#flush();
      this.#from = from;
    }
    this.#to = to;
  }

  end(): IdList {
    this.#flush();
    return this.#ids;
  }

  #flush(): void {
    if (this.#to - this.#from + 1 >= MIN_RANGE_IDS) this.#ids.push({ from: this.#from, to: this.#to });
    else for (let id = this.#from; id <= this.#to; id++) this.#ids.push(id);
    this.#to = this.#from - 1;
  }
}
