import { element } from './base/element.ts';
import { applyTheme, setPrinting } from './base/theme.ts';
import { setOnPaper } from './charts/plot.ts';
import { readPage } from './rows/read-page.ts';
import type { PagedTable } from './sections/paged-table.ts';
import { showParts } from './sections/parts-page.ts';
import { showRun } from './sections/run-page.ts';

// Before anything is shown, so that no dark page flashes up light.
applyTheme();
document.addEventListener('DOMContentLoaded', () => void show());

async function show(): Promise<void> {
  const place = document.getElementById('page') ?? document.body;
  try {
    const page = await readPage();
    const tables = 'parts' in page ? showParts(place, page.parts) : showRun(place, page.run, page.columns);
    printWith(tables);
  } catch (error) {
    const reason = error instanceof Error ? error.message : `${error}`;
    place.replaceChildren(
      element(
        'main',
        { class: 'page' },
        element('h1', {}, 'This page cannot be shown'),
        element('p', {}, `What it was given is not whole: ${reason}`),
      ),
    );
  }
  document.documentElement.dataset.shown = 'true';
}

/** On paper everything is light, as wide as a sheet, and the tables go on. */
function printWith(tables: readonly PagedTable[]): void {
  let isOnPaper = false;
  const set = (onPaper: boolean) => {
    if (onPaper === isOnPaper) return;
    isOnPaper = onPaper;
    setOnPaper(onPaper);
    setPrinting(onPaper);
    for (const table of tables) table.setOnPaper(onPaper);
  };
  addEventListener('beforeprint', () => set(true));
  addEventListener('afterprint', () => set(false));
  matchMedia('print').addEventListener('change', ({ matches }) => set(matches));
}
