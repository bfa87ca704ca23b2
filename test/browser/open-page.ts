import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { vi } from 'vitest';

// A browser that starts for the first time, on a machine that has much else to do, takes its time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

export interface OpenedPage extends AsyncDisposable {
  readonly page: Page;
  /** What the browser complained of, and what the page asked for besides itself. */
  readonly complaints: readonly string[];
}

/**
 * Opens the text of a page as a file of its own, in a context that reaches nothing, and waits until it is shown. What
 * `prepare` does in the page comes before the page's own script.
 */
export async function openPage(
  browser: Browser,
  html: string,
  options: BrowserContextOptions = {},
  prepare: () => void = () => {},
): Promise<OpenedPage> {
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-page-'));
  const file = join(directory, 'run.html');
  await writeFile(file, html);
  const address = pathToFileURL(file).href;
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    offline: true,
    ...options,
  });
  const complaints: string[] = [];
  const page = await context.newPage();
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  page.on('request', (request) => {
    if (request.url() !== address && !request.url().startsWith('data:')) complaints.push(request.url());
  });
  await page.addInitScript(watch);
  await page.addInitScript(prepare);
  await page.goto(address);
  await page.waitForSelector('html[data-shown]', { state: 'attached' });
  return {
    page,
    complaints,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(directory, { recursive: true });
    },
  };
}

declare global {
  interface Window {
    /** Rectangles that were filled in the waterfall since the last frame that a test looked at. */
    filled: number;
    copied: string[];
  }
}

/** In the page, before its own script: counts what is drawn, and keeps what is copied. */
function watch(): void {
  window.filled = 0;
  window.copied = [];
  const fillRect = CanvasRenderingContext2D.prototype.fillRect;
  CanvasRenderingContext2D.prototype.fillRect = function (...box) {
    if (this.canvas.closest('.waterfall')) window.filled += 1;
    fillRect.apply(this, box);
  };
  Object.defineProperty(navigator, 'clipboard', {
    value: { writeText: async (text: string) => void window.copied.push(text) },
  });
}

/** Until what was changed is drawn. */
export async function nextFrame(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null)))),
  );
}

/** What is out of sight is drawn when it comes into sight. */
async function bringIntoSight(page: Page, selector: string): Promise<void> {
  await page.locator(`${selector} canvas`).first().scrollIntoViewIfNeeded();
  await nextFrame(page);
}

/** The picture of a chart, to be compared with another. */
export async function pictureOf(page: Page, selector = '.waterfall'): Promise<string> {
  await bringIntoSight(page, selector);
  return page.evaluate(
    (chart) => document.querySelector<HTMLCanvasElement>(`${chart} canvas`)?.toDataURL() ?? '',
    selector,
  );
}

/** How many pixels of a chart have exactly the colour of a variable of page.css. */
export async function pixelsOf(page: Page, variable: string, selector = '.waterfall'): Promise<number> {
  await bringIntoSight(page, selector);
  return page.evaluate(
    ([name, chart]) => {
      const canvas = document.querySelector<HTMLCanvasElement>(`${chart} canvas`);
      if (!canvas) return 0;
      // A copy, as a canvas that is read is drawn in another way from then on.
      const copy = new OffscreenCanvas(canvas.width, canvas.height);
      const context = copy.getContext('2d', { willReadFrequently: true });
      if (!context) return 0;
      context.drawImage(canvas, 0, 0);
      const colour = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
      const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4)
        count += Number(data[at] === red && data[at + 1] === green && data[at + 2] === blue);
      return count;
    },
    [variable, selector] as const,
  );
}

/** What the page has last told screen readers. */
export function announced(page: Page): Promise<string> {
  return page.evaluate(() => document.querySelector('.offscreen[role=status]')?.textContent ?? '');
}
