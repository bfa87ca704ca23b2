/** A piece of an axis. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** An axis: all of it, and the least that is shown of it. */
export interface Extent extends Range {
  readonly leastSpan: number;
}

/** One value of each axis, or of one of them. */
export type Point = Partial<Readonly<Record<'x' | 'y', number>>>;

const AXES = ['x', 'y'] as const;

/** What all charts on one time axis show of it, and of the rows; never more than there is. */
export class View {
  readonly #extents: Readonly<Record<'x' | 'y', Extent>>;
  readonly #listeners: (() => void)[] = [];
  readonly #shown: Record<'x' | 'y', Range>;
  #isTold = true;

  constructor(x: Extent, y: Extent) {
    this.#extents = { x, y };
    this.#shown = { x: whole(x), y: whole(y) };
  }

  get x(): Range {
    return this.#shown.x;
  }

  get y(): Range {
    return this.#shown.y;
  }

  /** Whether all of an axis is shown. */
  isWhole(axis: 'x' | 'y'): boolean {
    return span(this.#shown[axis]) >= span(this.#extents[axis]);
  }

  /** Calls `listener` at the next frame after what is shown has changed, once however often it has. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Shows these pieces, or what comes next to them. */
  show({ x, y }: Partial<Readonly<Record<'x' | 'y', Range>>>): void {
    if (x) this.#set('x', x);
    if (y) this.#set('y', y);
  }

  reset(): void {
    this.show(this.#extents);
  }

  /** Shows `factor` times as much as before of the axes that `around` names, whose points stay where they are. */
  zoom(factor: number, around: Point): void {
    for (const axis of AXES) {
      const at = around[axis];
      if (at === undefined) continue;
      const { min, max } = this.#shown[axis];
      const extent = this.#extents[axis];
      const wanted = Math.min(Math.max((max - min) * factor, extent.leastSpan), span(extent));
      const before = (at - min) / (max - min);
      this.#set(axis, { min: at - before * wanted, max: at + (1 - before) * wanted });
    }
  }

  /** Moves by shares of what is shown; false where nothing moved, as the end was reached. */
  pan({ x = 0, y = 0 }: Point): boolean {
    const before = { ...this.#shown };
    for (const [axis, share] of [['x', x] as const, ['y', y] as const]) {
      if (share === 0) continue;
      const { min, max } = this.#shown[axis];
      const extent = this.#extents[axis];
      // No further than to the end: far beyond, numbers are too coarse to keep how much is shown.
      const by = Math.min(Math.max(share * (max - min), extent.min - min), extent.max - max);
      this.#set(axis, { min: min + by, max: max + by });
    }
    return AXES.some((axis) => before[axis].min !== this.#shown[axis].min);
  }

  #set(axis: 'x' | 'y', { min, max }: Range): void {
    const extent = this.#extents[axis];
    const wanted = Math.min(Math.max(max - min, extent.leastSpan), span(extent));
    // What is too narrow grows on both sides.
    const start = min - (wanted - (max - min)) / 2;
    const from = Math.min(Math.max(start, extent.min), extent.max - wanted);
    const now = { min: from, max: from + wanted };
    if (now.min === this.#shown[axis].min && now.max === this.#shown[axis].max) return;
    this.#shown[axis] = now;
    this.#tellAtNextFrame();
  }

  #tellAtNextFrame(): void {
    if (!this.#isTold) return;
    this.#isTold = false;
    requestAnimationFrame(() => {
      this.#isTold = true;
      for (const listener of this.#listeners) listener();
    });
  }
}

function whole({ min, max }: Extent): Range {
  return { min, max };
}

function span({ min, max }: Range): number {
  return max - min;
}
