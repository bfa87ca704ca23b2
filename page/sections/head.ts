import { copyButton } from '../base/clipboard.ts';
import { type Child, element, foreign } from '../base/element.ts';
import { formatCount, formatNumberOf } from '../base/format.ts';
import { currentTheme, onTheme, toggleTheme } from '../base/theme.ts';

/** A figure of the run: its name, its value, and what belongs to that. */
export interface Figure {
  readonly name: string;
  readonly value: Child;
  readonly note?: string;
}

/** What posts came to: in a run, or in one of parts. */
export interface Counts {
  readonly requested: number;
  readonly fulfilled: number;
  readonly rejected: number;
  readonly complete: boolean;
}

/** The top of the page. */
export function header(kicker: string, id: string, counts: Counts, line: readonly Child[]): HTMLElement {
  const badge = badgeOf(counts);
  return element(
    'header',
    { class: 'top' },
    element('div', { class: 'top-line' }, element('p', { class: 'kicker' }, kicker), themeButton()),
    element('h1', {}, foreign(id)),
    element(
      'p',
      { class: 'state' },
      element('span', { class: `badge ${badge.state}` }, badge.text),
      ...line.map((part) => element('span', {}, part)),
    ),
  );
}

function badgeOf({ complete, rejected }: Counts): { readonly text: string; readonly state: string } {
  if (!complete) return { text: 'Incomplete', state: 'bad' };
  if (rejected > 0) return { text: 'Complete, with failures', state: 'warn' };
  return { text: 'Complete', state: 'good' };
}

function themeButton(): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'button theme', onclick: toggleTheme });
  const label = () => {
    button.textContent = currentTheme() === 'dark' ? 'Light' : 'Dark';
    button.setAttribute('aria-label', currentTheme() === 'dark' ? 'Light theme' : 'Dark theme');
  };
  onTheme(label);
  label();
  return button;
}

/** How many posts there were, and what they came to. */
export function headline({ requested, fulfilled, rejected }: Counts): HTMLElement {
  return element(
    'p',
    { class: 'headline' },
    element('strong', {}, formatNumberOf(requested, 'post')),
    element('span', {}, `${formatCount(fulfilled)} fulfilled`),
    element('span', {}, `${formatCount(rejected)} rejected`),
  );
}

/** The command that fetches again what may succeed; nothing where there is none. */
export function redrive(command: string | null, retryable: number): Child {
  return (
    command !== null &&
    element(
      'div',
      { class: 'redrive' },
      element('h3', {}, `Fetch again what may succeed: ${formatNumberOf(retryable, 'post')}`),
      copied(command, 'the redrive command'),
    )
  );
}

/** Figures side by side. */
export function figures(list: readonly (Figure | undefined)[]): HTMLElement {
  return element(
    'dl',
    { class: 'figures-grid' },
    ...list.flatMap((figure) =>
      figure
        ? [
            element(
              'div',
              {},
              element('dt', {}, figure.name),
              element('dd', {}, element('span', { class: 'value' }, figure.value)),
              ...(figure.note ? [element('dd', { class: 'note' }, figure.note)] : []),
            ),
          ]
        : [],
    ),
  );
}

/** Names and values one below the other. */
export function facts(pairs: readonly (readonly [name: string, ...value: Child[]])[]): HTMLElement {
  return element(
    'dl',
    { class: 'facts' },
    ...pairs.map(([name, ...value]) =>
      element('div', {}, element('dt', {}, name), element('dd', {}, ...value)),
    ),
  );
}

/** Text to be taken along, a command say. */
export function copied(text: string, name: string): HTMLElement {
  return element(
    'div',
    { class: 'copied' },
    element('code', { tabindex: 0, role: 'region', 'aria-label': name }, foreign(text)),
    copyButton('Copy', `Copy ${name}`, () => text),
  );
}

/** What a reader has to know before all else. */
export function warning(...children: readonly Child[]): HTMLElement {
  return element('p', { class: 'warning', role: 'note' }, ...children);
}

/** A part of the page under a heading of its own. */
export function section(title: string, className: string, ...children: readonly Child[]): HTMLElement {
  const id = `section-${className}`;
  return element(
    'section',
    { class: `card ${className}`, 'aria-labelledby': id },
    element('h2', { id }, title),
    ...children,
  );
}
