import { announce } from '../base/announcer.ts';
import { type Child, element } from '../base/element.ts';
import { formatCount } from '../base/format.ts';

export interface Column {
  readonly label: string;
  /** @default text, at the left */
  readonly isNumber?: boolean;
  /** Compares two rows, ascending; a column without is not sorted by. */
  readonly compare?: (a: number, b: number) => number;
  readonly cell: (row: number) => Child;
  readonly className?: string;
}

export interface PagedTableSpec {
  readonly caption: string;
  readonly columns: readonly Column[];
  /** Rows that there are, in the order in which they stand where nothing is sorted. */
  readonly rows: Int32Array;
  /** What is said where no row is left. */
  readonly empty: string;
  readonly rowName: string;
  /** Called with the row that is clicked, but for its buttons and links. @default nothing */
  readonly onRow?: (row: number) => void;
}

const PAGE_ROWS = 50;
/** On paper, where there are no pages to turn. */
const PAPER_ROWS = 1_000;

/** A table of any number of rows, of which a page is shown, sorted by the column that is pressed. */
export class PagedTable {
  readonly element: HTMLElement;
  readonly #spec: PagedTableSpec;
  readonly #body = element('tbody');
  readonly #heads: readonly HTMLTableCellElement[];
  readonly #place = element('p', { class: 'page-of', 'aria-live': 'off' });
  readonly #turns: Readonly<Record<'first' | 'previous' | 'next' | 'last', HTMLButtonElement>>;
  #rows: Int32Array;
  #sortedBy = 0;
  #isDescending = false;
  #page = 0;
  #pageRows = PAGE_ROWS;

  constructor(spec: PagedTableSpec) {
    this.#spec = spec;
    this.#rows = spec.rows;
    this.#heads = spec.columns.map((column, at) =>
      element(
        'th',
        { scope: 'col', class: classOf(column), 'aria-sort': at === 0 ? 'ascending' : undefined },
        column.compare
          ? element(
              'button',
              { type: 'button', class: 'sort', onclick: () => this.#sortBy(at) },
              column.label,
            )
          : element('span', { class: 'unsorted' }, column.label),
      ),
    );
    const turn = (label: string, name: string, page: () => number) =>
      element(
        'button',
        { type: 'button', class: 'button', 'aria-label': name, onclick: () => this.#turnTo(page()) },
        label,
      );
    this.#turns = {
      first: turn('«', 'First page', () => 0),
      previous: turn('‹', 'Previous page', () => this.#page - 1),
      next: turn('›', 'Next page', () => this.#page + 1),
      last: turn('»', 'Last page', () => this.#pages - 1),
    };
    if (spec.onRow) this.#body.addEventListener('click', (event) => this.#click(event));
    this.element = element(
      'div',
      { class: 'paged' },
      element(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': spec.caption },
        element(
          'table',
          { class: spec.onRow ? 'picks' : undefined },
          element('caption', { class: 'offscreen' }, spec.caption),
          element('thead', {}, element('tr', {}, ...this.#heads)),
          this.#body,
        ),
      ),
      element(
        'nav',
        { class: 'pages', 'aria-label': `Pages: ${spec.caption}` },
        this.#place,
        ...Object.values(this.#turns),
      ),
    );
    this.#draw();
  }

  /** Rows that are shown on one page or another, in their order. */
  get rows(): Int32Array {
    return this.#rows;
  }

  /** Shows these rows, in the order that is chosen, from the first page on. */
  show(rows: Int32Array): void {
    this.#rows = rows;
    this.#sort();
    this.#page = 0;
    this.#draw();
  }

  /** On paper there are many rows on one page, and what is left out is said. */
  setOnPaper(isOnPaper: boolean): void {
    this.#pageRows = isOnPaper ? PAPER_ROWS : PAGE_ROWS;
    this.#page = 0;
    this.#draw();
  }

  get #pages(): number {
    return Math.max(1, Math.ceil(this.#rows.length / this.#pageRows));
  }

  #sortBy(at: number): void {
    this.#isDescending = at === this.#sortedBy && !this.#isDescending;
    this.#sortedBy = at;
    this.#heads.forEach((head, i) => {
      if (i === at) head.setAttribute('aria-sort', this.#isDescending ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    this.#sort();
    this.#page = 0;
    this.#draw();
    announce(
      `Sorted by ${this.#spec.columns[at]?.label}, ${this.#isDescending ? 'descending' : 'ascending'}.`,
    );
  }

  #sort(): void {
    const compare = this.#spec.columns[this.#sortedBy]?.compare;
    if (!compare) return;
    const sign = this.#isDescending ? -1 : 1;
    // What is equal stays in the order of the rows.
    this.#rows = this.#rows.slice().sort((a, b) => sign * compare(a, b) || a - b);
  }

  #turnTo(page: number): void {
    this.#page = page;
    this.#draw();
    this.element.querySelector('.scroll')?.scrollTo({ top: 0 });
    announce(this.#place.textContent);
  }

  #draw(): void {
    const { columns, empty, rowName } = this.#spec;
    const from = this.#page * this.#pageRows;
    const shown = this.#rows.subarray(from, from + this.#pageRows);
    this.#body.replaceChildren(
      ...(shown.length > 0
        ? Array.from(shown, (row) => this.#line(row))
        : [element('tr', {}, element('td', { colspan: columns.length, class: 'empty' }, empty))]),
    );
    const total = this.#rows.length;
    this.#place.textContent =
      total === 0
        ? `No ${rowName}`
        : `${formatCount(from + 1)}–${formatCount(from + shown.length)} of ${formatCount(total)}`;
    const isFirst = this.#page === 0;
    const isLast = this.#page === this.#pages - 1;
    for (const [name, button] of Object.entries(this.#turns))
      button.disabled = name === 'first' || name === 'previous' ? isFirst : isLast;
    this.element.classList.toggle('single', this.#pages === 1);
  }

  #line(row: number): HTMLTableRowElement {
    const { columns } = this.#spec;
    return element(
      'tr',
      { 'data-row': row },
      ...columns.map((column) => element('td', { class: classOf(column) }, column.cell(row))),
    );
  }

  #click(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target : undefined;
    if (target?.closest('button, a')) return;
    // Who marks text wants the text.
    if (getSelection()?.isCollapsed === false) return;
    const row = target?.closest<HTMLElement>('[data-row]')?.dataset.row;
    if (row !== undefined) this.#spec.onRow?.(Number(row));
  }
}

function classOf({ isNumber, className }: Column): string | undefined {
  return [isNumber && 'number', className].filter(Boolean).join(' ') || undefined;
}

/** Compares ids, numbers before text. */
export function compareIds(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}
