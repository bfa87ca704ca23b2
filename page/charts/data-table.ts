import { element } from '../base/element.ts';

/** A chart's figures as a table, for those who want to read them; made when it is opened. */
export function dataTable(
  caption: string,
  heads: readonly string[],
  lines: () => readonly (readonly string[])[],
): HTMLDetailsElement {
  const details = element('details', { class: 'figures' }, element('summary', {}, 'Figures'));
  details.addEventListener(
    'toggle',
    () => {
      const table = element(
        'table',
        {},
        element('caption', {}, caption),
        element(
          'thead',
          {},
          element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head))),
        ),
        element(
          'tbody',
          {},
          ...lines().map((line) =>
            element(
              'tr',
              {},
              ...line.map((cell, at) =>
                at === 0 ? element('th', { scope: 'row' }, cell) : element('td', {}, cell),
              ),
            ),
          ),
        ),
      );
      details.append(
        element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, table),
      );
    },
    { once: true },
  );
  return details;
}
