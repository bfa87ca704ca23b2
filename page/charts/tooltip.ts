import { element } from '../base/element.ts';

/** What is said of a row, or of several: a title, and pairs of a name and a value. */
export interface Details {
  readonly title: Node | string;
  /** Colour of the outcome, as a variable of page.css. */
  readonly colour: string;
  readonly pairs: readonly (readonly [name: string, value: Node | string])[];
  /** As text of its own, an error message say. */
  readonly message?: Node;
}

const OFFSET_PX = 14;

/** A box beside the pointer, or beside what has the focus, within `place`. */
export class Tooltip {
  readonly #box = element('div', { class: 'tooltip', hidden: true });
  readonly #place: HTMLElement;

  constructor(place: HTMLElement) {
    this.#place = place;
    place.append(this.#box);
  }

  /** Shows details beside a point of the place, in CSS pixels. */
  show({ title, colour, pairs, message }: Details, left: number, top: number): void {
    const dot = element('span', { class: 'dot' });
    dot.style.setProperty('--colour', `var(${colour})`);
    this.#box.replaceChildren(
      element('p', { class: 'tooltip-title' }, dot, title),
      element(
        'dl',
        {},
        ...pairs.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
      ),
      ...(message ? [element('p', { class: 'tooltip-message' }, message)] : []),
    );
    this.#box.hidden = false;
    const { clientWidth, clientHeight } = this.#place;
    const { offsetWidth, offsetHeight } = this.#box;
    const isRight = left + OFFSET_PX + offsetWidth <= clientWidth;
    const x = isRight ? left + OFFSET_PX : Math.max(0, left - OFFSET_PX - offsetWidth);
    const y = Math.min(Math.max(0, top + OFFSET_PX), Math.max(0, clientHeight - offsetHeight));
    this.#box.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }

  hide(): void {
    this.#box.hidden = true;
  }
}
