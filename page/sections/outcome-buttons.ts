import { outcomeVariable } from '../base/colours.ts';
import { element } from '../base/element.ts';
import { formatCount, formatShare } from '../base/format.ts';
import type { OutcomeFilter } from '../rows/outcome-filter.ts';

/** An outcome and how often it came. */
export interface OutcomeCount {
  readonly name: string;
  readonly label: string;
  readonly count: number;
  /** Its place among the outcomes of the rows; undefined where no row has it, as not all rows are shown. */
  readonly outcome: number | undefined;
}

/** A button for each outcome, which picks it for all charts and tables. */
export function outcomeButtons(
  counts: readonly OutcomeCount[],
  total: number,
  filter: OutcomeFilter,
): HTMLElement {
  const list = element(
    'ul',
    { class: 'outcomes' },
    ...counts.map((one) => element('li', {}, buttonOf(one, total, filter))),
  );
  return list;
}

function buttonOf({ name, label, count, outcome }: OutcomeCount, total: number, filter: OutcomeFilter) {
  const button = element(
    'button',
    { type: 'button', class: 'outcome', 'aria-pressed': 'false', disabled: outcome === undefined },
    dotOf(name),
    element('span', { class: 'outcome-name' }, label),
    element('span', { class: 'outcome-count' }, formatCount(count)),
    element('span', { class: 'outcome-share' }, formatShare(count, total)),
  );
  if (outcome === undefined) return button;
  button.addEventListener('click', () => filter.toggle(outcome));
  filter.onChange(() => button.setAttribute('aria-pressed', `${filter.has(outcome)}`));
  return button;
}

/** All outcomes in one bar, by their shares. */
export function outcomeBar(counts: readonly OutcomeCount[], total: number): HTMLElement {
  const sentence = counts.map(({ label, count }) => `${label} ${formatShare(count, total)}`).join(', ');
  const bar = element('div', { class: 'outcome-bar', role: 'img', 'aria-label': sentence });
  for (const { name, count } of counts) {
    if (count === 0) continue;
    const piece = element('span');
    piece.style.flexGrow = `${count}`;
    piece.style.setProperty('--colour', `var(${outcomeVariable(name)})`);
    bar.append(piece);
  }
  return bar;
}

/** A dot in the colour of an outcome. */
export function dotOf(name: string): HTMLElement {
  const dot = element('span', { class: 'dot' });
  dot.style.setProperty('--colour', `var(${outcomeVariable(name)})`);
  return dot;
}
