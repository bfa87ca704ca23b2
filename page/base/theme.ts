type Theme = 'light' | 'dark';

const KEY = 'batch-fetcher-theme';
const root = document.documentElement;
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const listeners: (() => void)[] = [];

/** What the reader chose, if anything. Where a browser gives files no storage, the choice is the page's own. */
let chosen = storedTheme();
let isPrinting = false;

/** Calls `listener` whenever the colours have changed. */
export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

export function currentTheme(): Theme {
  if (isPrinting) return 'light';
  return chosen ?? (prefersDark.matches ? 'dark' : 'light');
}

/** Changes to the other theme, and keeps to it. */
export function toggleTheme(): void {
  chosen = currentTheme() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, chosen);
  } catch {}
  applyTheme();
}

/** On paper everything is light. */
export function setPrinting(isOnPaper: boolean): void {
  isPrinting = isOnPaper;
  applyTheme();
}

export function applyTheme(): void {
  root.dataset.theme = currentTheme();
  for (const listener of listeners) listener();
}

function storedTheme(): Theme | undefined {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === 'light' || stored === 'dark' ? stored : undefined;
  } catch {
    return undefined;
  }
}

prefersDark.addEventListener('change', applyTheme);
