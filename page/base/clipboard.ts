import { announce } from './announcer.ts';
import { element } from './element.ts';

const FEEDBACK_MS = 1_600;

/** A button that copies what `text` gives when it is pressed, and says so. */
export function copyButton(label: string, name: string, text: () => string): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'button', 'aria-label': name }, label);
  let restore: ReturnType<typeof setTimeout> | undefined;
  button.addEventListener('click', async () => {
    const isCopied = await copy(text());
    clearTimeout(restore);
    const before = button.dataset.label ?? button.textContent;
    button.dataset.label = before;
    button.textContent = isCopied ? 'Copied' : 'Not copied';
    announce(isCopied ? 'Copied.' : 'The browser does not let this page copy.');
    restore = setTimeout(() => {
      button.textContent = button.dataset.label ?? before;
      delete button.dataset.label;
    }, FEEDBACK_MS);
  });
  return button;
}

/** Gives a copy button other words, also while it says that something was copied. */
export function relabel(button: HTMLButtonElement, label: string, name: string): void {
  if (button.dataset.label === undefined) button.textContent = label;
  else button.dataset.label = label;
  button.setAttribute('aria-label', name);
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context, which a file is not everywhere, there is no clipboard, and the old way is left.
    const area = element('textarea', { class: 'offscreen', 'aria-hidden': 'true', tabindex: -1 });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return isCopied;
  }
}
