/** The place of a value in a LinkedList. */
export interface Entry<T> {
  readonly value: T;
}

/**
 * A class, as V8 may come to put what an object literal makes into the old generation at once, where it would hold on to
 * its value, and to all that this leads to, long after it is out.
 */
class Node<T> implements Entry<T> {
  readonly value: T;
  previous: Node<T> | undefined;
  next: Node<T> | undefined;
  isListed = true;

  constructor(value: T, previous: Node<T> | undefined) {
    this.value = value;
    this.previous = previous;
  }
}

/**
 * Values in the order in which they came, to be taken out anywhere at the same cost.
 *
 * For what comes and goes with each post, where a Set would keep garbage alive: it moves to a new table every so
 * often, and in V8 the old table leads to the new one, so that one old table that has survived two collections makes
 * all later ones, and what was in them, survive until the old generation is collected.
 */
export class LinkedList<T> {
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#first?.value;
  }

  push(value: T): Entry<T> {
    const node = new Node(value, this.#last);
    if (this.#last) this.#last.next = node;
    else this.#first = node;
    this.#last = node;
    this.#size += 1;
    return node;
  }

  /** Takes out the first. */
  shift(): T | undefined {
    const first = this.#first;
    if (first) this.delete(first);
    return first?.value;
  }

  /** Takes out the value of an entry that `push` gave. Says whether it was still there. */
  delete(entry: Entry<T>): boolean {
    const node = entry as Node<T>;
    if (!node.isListed) return false;
    const { previous, next } = node;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    else this.#last = previous;
    // What is out must not lead to what comes after it: that is what a Set does.
    node.previous = undefined;
    node.next = undefined;
    node.isListed = false;
    this.#size -= 1;
    return true;
  }

  /** Its entries as of now. */
  entries(): Entry<T>[] {
    const entries: Entry<T>[] = [];
    for (let node = this.#first; node; node = node.next) entries.push(node);
    return entries;
  }
}
