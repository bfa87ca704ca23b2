import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { buildPage } from '../../scripts/build/page.ts';
import { findChromium, launchChromium } from '../../test/browser/chromium.ts';
import { filledPage, runFixture } from '../../test/support/page-fixtures.ts';

/*
 * How long the page of a run takes to be shown, and its frames while one zooms and moves through the waterfall, in
 * Debian's chromium without a screen or a graphics card.
 *
 * node bench/page/main.ts [--posts 100000] [--frames 240]
 */
const { values } = parseArgs({
  options: {
    posts: { type: 'string', default: '100000' },
    frames: { type: 'string', default: '240' },
  },
});

/** Milliseconds. */
interface Frames {
  /** Of the page's own work in each frame. */
  readonly work: readonly number[];
  /** From frame to frame. */
  readonly apart: readonly number[];
}

async function main(): Promise<void> {
  const executable = findChromium('The bench of the page', process.env);
  if (executable === undefined) return;
  const posts = Number(values.posts);
  const { html } = await buildPage();
  const directory = await mkdtemp(join(tmpdir(), 'batch-fetcher-page-'));
  const file = join(directory, 'run.html');
  const text = filledPage(html, runFixture({ posts }));
  await writeFile(file, text);
  const browser = await launchChromium(executable);
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(pathToFileURL(file).href);
    await page.waitForSelector('html[data-shown]', { state: 'attached' });
    const shownMs = await page.evaluate(() => {
      const [navigation] = performance.getEntriesByType('navigation');
      return performance.now() - (navigation?.startTime ?? 0);
    });
    await page.locator('.waterfall').scrollIntoViewIfNeeded();
    await page.locator('.waterfall').focus();
    const { work, apart } = await page.evaluate(moveAbout, Number(values.frames));
    console.log(
      `${posts} posts, a page of ${(text.length / 1_048_576).toFixed(2)} MB, ${cpus().length} cores`,
    );
    console.log(`shown after ${shownMs.toFixed(0)} ms`);
    console.log(`work in a frame, ms: ${quantiles(work)}`);
    console.log(`from frame to frame, ms: ${quantiles(apart)}`);
  } finally {
    await browser.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** In the browser: zooms in and out and moves, a step a frame. */
async function moveAbout(frames: number): Promise<Frames> {
  const over = document.querySelector('.waterfall .u-over');
  if (!over) throw new Error('Expected a waterfall');
  const { left, top, width, height } = over.getBoundingClientRect();
  const [work, apart]: [number[], number[]] = [[], []];
  const nextFrame = () => new Promise<number>((done) => requestAnimationFrame(done));
  let before = await nextFrame();
  for (let frame = 0; frame < frames; frame += 1) {
    const isZoom = frame % 120 < 80;
    const isIn = frame % 120 < 40;
    over.dispatchEvent(
      new WheelEvent('wheel', {
        clientX: left + width * (0.35 + 0.3 * Math.sin(frame / 17)),
        clientY: top + height * (0.35 + 0.3 * Math.sin(frame / 23)),
        deltaY: isZoom ? (isIn ? -60 : 60) : 40,
        deltaX: isZoom ? 0 : 50 * Math.sin(frame / 7),
        ctrlKey: isZoom,
        cancelable: true,
        bubbles: true,
      }),
    );
    const now = await nextFrame();
    apart.push(now - before);
    before = now;
    // The view's own callback was asked for before, and ran first: what is measured is to the end of the frame.
    work.push(performance.now() - now);
  }
  return { work, apart };
}

function quantiles(list: readonly number[]): string {
  const sorted = [...list].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(1);
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, max ${at(1)}`;
}

await main();
