import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findChromium, launchChromium } from './chromium.ts';

/*
 * Takes a page as phones, tablets and desktops have it, light and dark.
 *
 * node test/browser/screenshots.ts <page.html> <folder>
 */
const WIDTHS = [390, 820, 1440];

const [page, folder] = process.argv.slice(2);
if (page === undefined || folder === undefined) throw new Error('Expected a page and a folder');
const executable = findChromium('Screenshots', { ...process.env, CI: 'true' });
if (executable === undefined) throw new Error('Expected a browser');
await mkdir(folder, { recursive: true });
const browser = await launchChromium(executable);
try {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of WIDTHS) {
      const context = await browser.newContext({
        viewport: { width, height: 900 },
        colorScheme,
        deviceScaleFactor: width < 500 ? 2 : 1,
        offline: true,
      });
      const tab = await context.newPage();
      tab.on('console', (message) => console.error(message.text()));
      tab.on('pageerror', (error) => console.error(error));
      await tab.goto(pathToFileURL(resolve(page)).href);
      await tab.waitForSelector('html[data-shown]', { state: 'attached' });
      await tab.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
      );
      const file = join(folder, `${basename(page, '.html')}-${width}-${colorScheme}.png`);
      await tab.screenshot({ path: file, fullPage: true });
      console.log(file);
      await context.close();
    }
  }
} finally {
  await browser.close();
}
