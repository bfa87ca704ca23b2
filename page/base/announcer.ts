import { element } from './element.ts';

const region = element('div', { class: 'offscreen', role: 'status', 'aria-live': 'polite' });

/** Where the page says what has changed to those who do not see it: belongs into the body once. */
export function announcer(): HTMLElement {
  return region;
}

/** Has screen readers say a sentence; of several in a row, the last. */
export function announce(sentence: string): void {
  region.textContent = sentence;
}
