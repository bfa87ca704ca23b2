import { element } from '../base/element.ts';
import { zoomStep } from '../charts/navigation.ts';
import type { View } from '../charts/view.ts';

/** Buttons that zoom, for who has neither wheel nor keys. */
export function zoomButtons(view: View): HTMLElement {
  const button = (label: string, name: string, act: () => void) =>
    element('button', { type: 'button', class: 'button', 'aria-label': name, onclick: act }, label);
  const all = button('Show all', 'Show all', () => view.reset());
  const out = button('−', 'Zoom out', () => zoomStep(view, 'out'));
  const refresh = () => {
    const isAll = view.isWhole('x') && view.isWhole('y');
    all.disabled = isAll;
    out.disabled = isAll;
  };
  view.onChange(refresh);
  refresh();
  return element(
    'div',
    { class: 'zoom', role: 'group', 'aria-label': 'Zoom' },
    out,
    button('+', 'Zoom in', () => zoomStep(view, 'in')),
    all,
  );
}

/** How one gets about in the charts. */
export function help(noun: string): HTMLElement {
  const line = (keys: readonly string[], what: string) => [
    element('dt', {}, ...keys.flatMap((key, at) => [at > 0 && ' ', element('kbd', {}, key)])),
    element('dd', {}, what),
  ];
  return element(
    'details',
    { class: 'help' },
    element('summary', {}, 'How to move about'),
    element(
      'dl',
      {},
      ...line(['drag'], 'zoom to what is selected'),
      ...line(['Ctrl + wheel', 'pinch'], 'zoom'),
      ...line(['Shift + drag', 'middle button', 'wheel'], 'move'),
      ...line(['double click'], 'show all'),
      ...line(['+', '−', '0'], 'zoom in, zoom out, show all'),
      ...line(['← ↑ ↓ →', 'Page ↑ ↓', 'Home', 'End'], 'move'),
      ...line(['N', 'P'], `next and previous ${noun}`),
      ...line(['F', 'Shift + F'], `next and previous failed ${noun}`),
    ),
  );
}

/** The same for screen readers, which describe charts by these. */
export function spokenHelp(noun: string): HTMLElement {
  return element(
    'div',
    { class: 'offscreen' },
    element(
      'p',
      { id: 'keys-of-rows' },
      `Plus, minus and zero zoom, arrow keys move. N and P go to the next and the previous ${noun}, F and Shift F to those that failed.`,
    ),
    element('p', { id: 'keys-of-time' }, 'Plus, minus and zero zoom, left and right arrow keys move.'),
  );
}

/** What the shapes of a waterfall mean. */
export function waterfallLegend(shapes: readonly (readonly [shape: string, meaning: string])[]): HTMLElement {
  return element(
    'ul',
    { class: 'legend shapes' },
    ...shapes.map(([shape, meaning]) =>
      element('li', {}, element('span', { class: `shape ${shape}` }), meaning),
    ),
  );
}
