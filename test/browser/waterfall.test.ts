import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPage } from '../../scripts/build/page.ts';
import { type FixtureOptions, filledPage, runFixture } from '../support/page-fixtures.ts';
import { findChromium, launchChromium } from './chromium.ts';
import { announced, nextFrame, openPage, pictureOf, pixelsOf } from './open-page.ts';

const executable = findChromium('The tests of the waterfall', process.env);

describe.skipIf(executable === undefined)('the waterfall', () => {
  let browser: Browser;
  let template: string;

  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    ({ html: template } = await buildPage());
  });

  afterAll(() => browser.close());

  const open = async (options: FixtureOptions, context = {}) => {
    const opened = await openPage(browser, filledPage(template, runFixture(options)), context);
    await opened.page.locator('.waterfall').evaluate((chart) => chart.scrollIntoView({ block: 'end' }));
    await nextFrame(opened.page);
    return opened;
  };

  /** A point of the drawing, by shares of its width and height. */
  const point = async (page: Page, x: number, y: number): Promise<[x: number, y: number]> => {
    const box = await page.locator('.waterfall .u-over').boundingBox();
    return [(box?.x ?? 0) + (box?.width ?? 0) * x, (box?.y ?? 0) + (box?.height ?? 0) * y];
  };

  const press = async (page: Page, ...keys: readonly string[]) => {
    for (const key of keys) await page.keyboard.press(key);
    await nextFrame(page);
  };

  it('is zoomed and moved by keys, and shows all again', async () => {
    await using opened = await open({ posts: 2_000 });
    const { page } = opened;
    const whole = await pictureOf(page);
    await page.locator('.waterfall').focus();
    await press(page, '+', '+', '+');
    const inside = await announced(page);
    const zoomed = await pictureOf(page);
    await press(page, 'ArrowRight', 'ArrowDown');
    const moved = await pictureOf(page);
    const after = await announced(page);
    await press(page, 'End', 'Home', '-', 'PageDown', 'PageUp', '0');
    expect(inside).toMatch(/^From .+ to .+\.$/);
    expect(after).not.toBe(inside);
    expect(new Set([whole, zoomed, moved]).size).toBe(3);
    expect(await pictureOf(page)).toBe(whole);
  });

  it('is moved to its ends by keys, and shows as much of it as before', async () => {
    await using opened = await open({ posts: 2_000 });
    const { page } = opened;
    await page.locator('.waterfall').focus();
    await press(page, '+', '+', '+');
    const span = (said: string) => /^From (.+) s to (.+) s\.$/.exec(said)?.slice(1).map(Number) ?? [];
    const [from = 0, to = 0] = span(await announced(page));
    for (const [end, step] of [
      ['Home', 'ArrowLeft'],
      ['End', 'ArrowRight'],
    ] as const) {
      await press(page, end);
      const atEnd = await announced(page);
      await press(page, ...new Array<string>(20).fill(step));
      expect(await announced(page)).toBe(atEnd);
      const [first = 0, last = 0] = span(atEnd.replace('From 0 ms', 'From 0 s'));
      expect(last - first).toBeCloseTo(to - from, 1);
    }
  });

  it('is zoomed by the wheel with Ctrl, and leaves the wheel to the page where there is nothing to move', async () => {
    await using opened = await open({ posts: 2_000 });
    const { page } = opened;
    const whole = await pictureOf(page);
    await page.mouse.move(...(await point(page, 0.5, 0.5)));
    const scrolled = await page.evaluate(() => scrollY);
    await page.mouse.wheel(0, 60);
    await page.waitForFunction((before) => scrollY !== before, scrolled);
    await page.mouse.move(...(await point(page, 0.5, 0.5)));
    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -400);
    await page.keyboard.up('Control');
    await nextFrame(page);
    const zoomed = await pictureOf(page);
    expect(zoomed).not.toBe(whole);
    const before = await page.evaluate(() => scrollY);
    await page.mouse.wheel(0, 40);
    await nextFrame(page);
    expect(await page.evaluate(() => scrollY)).toBe(before);
    expect(await pictureOf(page)).not.toBe(zoomed);
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.mouse.move(0, 0);
    expect(await pictureOf(page)).toBe(whole);
  });

  it('shows what is selected by a drag in all charts, and moves by a drag with Shift', async () => {
    await using opened = await open({ posts: 2_000 });
    const { page } = opened;
    const [whole, rates] = [await pictureOf(page), await pictureOf(page, '.time')];
    await page.mouse.move(...(await point(page, 0.3, 0.3)));
    await page.mouse.down();
    await page.mouse.move(...(await point(page, 0.6, 0.6)), { steps: 4 });
    await page.mouse.up();
    await page.mouse.move(0, 0);
    const selected = await pictureOf(page);
    expect(selected).not.toBe(whole);
    await page
      .locator('.time')
      .first()
      .evaluate((chart) => chart.scrollIntoView());
    expect(await pictureOf(page, '.time')).not.toBe(rates);
    await page.locator('.waterfall').evaluate((chart) => chart.scrollIntoView({ block: 'end' }));
    await page.keyboard.down('Shift');
    await page.mouse.move(...(await point(page, 0.6, 0.6)));
    await page.mouse.down();
    await page.mouse.move(...(await point(page, 0.4, 0.5)), { steps: 4 });
    await page.mouse.up();
    await page.keyboard.up('Shift');
    expect(await pictureOf(page)).not.toBe(selected);
    await page.mouse.dblclick(...(await point(page, 0.5, 0.5)));
    await page.mouse.move(0, 0);
    expect(await pictureOf(page)).toBe(whole);
  });

  it('is moved by a finger and zoomed by two', async () => {
    await using opened = await open(
      { posts: 2_000 },
      { hasTouch: true, viewport: { width: 390, height: 800 } },
    );
    const { page } = opened;
    const whole = await pictureOf(page);
    await page.evaluate(() => {
      const over = document.querySelector<HTMLElement>('.waterfall .u-over');
      if (!over) return;
      over.setPointerCapture = () => {};
      const { left, top } = over.getBoundingClientRect();
      const touch = (type: string, pointerId: number, x: number, y: number) =>
        over.dispatchEvent(
          new PointerEvent(type, { pointerId, pointerType: 'touch', clientX: left + x, clientY: top + y }),
        );
      touch('pointerdown', 1, 100, 200);
      touch('pointerdown', 2, 140, 240);
      touch('pointermove', 1, 40, 140);
      touch('pointermove', 2, 200, 300);
      touch('pointerup', 1, 40, 140);
      touch('pointerup', 2, 200, 300);
    });
    const zoomed = await pictureOf(page);
    expect(zoomed).not.toBe(whole);
    expect(await page.locator('.waterfall .u-over').evaluate((over) => over.style.touchAction)).toBe('none');
  });

  it('says what a post came to under the pointer, and of many posts what they came to together', async () => {
    await using few = await open({ posts: 20, shares: {}, concurrency: 1 });
    await few.page.mouse.move(...(await point(few.page, 0.4, 0.5)));
    await few.page.mouse.move(...(await point(few.page, 0.5, 0.525)));
    const one = await few.page.locator('.tooltip').textContent();
    expect(one).toMatch(/^Post 11Index10OutcomefulfilledHTTP status200Attempts1Start.+Took.+Waited0 ms$/);
    await using many = await open({ posts: 20_000 });
    await many.page.mouse.move(...(await point(many.page, 0.4, 0.5)));
    await many.page.mouse.move(...(await point(many.page, 0.5, 0.5)));
    const group = await many.page.locator('.tooltip').textContent();
    expect(group).toMatch(/^Posts [\d,]+–[\d,]+fulfilled\d+ posts.*First start.+Last end.+Took on average/);
  });

  it('goes from post to post and from failure to failure by keys, and says each', async () => {
    await using opened = await open({ posts: 400, shares: { NOT_FOUND: 0.05 } });
    const { page } = opened;
    await page.locator('.waterfall').focus();
    await press(page, 'n', 'n');
    const second = await announced(page);
    await press(page, 'f');
    const failed = await announced(page);
    expect(await page.locator('.tooltip').isVisible()).toBe(true);
    await press(page, 'Escape');
    expect(await page.locator('.tooltip').isVisible()).toBe(false);
    await press(page, 'Shift+F', 'Shift+F');
    expect(second).toMatch(/^Post 2: Index 1, Outcome /);
    expect(failed).toMatch(/^Post \d+: .*Outcome NOT_FOUND, HTTP status 404, .*No data for post \d+$/);
    expect(await announced(page)).toBe('No failed post that way.');
  });

  it('shows the outcomes that are picked in their colours, and the others without one', async () => {
    await using opened = await open({ posts: 60, shares: { NOT_FOUND: 0.3 } });
    const { page } = opened;
    await page.locator('.summary').getByRole('button', { name: 'NOT_FOUND' }).click();
    await nextFrame(page);
    const counts = [await pixelsOf(page, 'fulfilled'), await pixelsOf(page, 'NOT_FOUND')];
    expect(counts.map((count) => count > 100)).toStrictEqual([false, true]);
    expect(await pixelsOf(page, 'dimmed')).toBeGreaterThan(100);
  });

  it('draws a bounded number of rectangles, however many posts there are', async () => {
    await using opened = await open({ posts: 100_000 });
    const { page } = opened;
    const height = await page.locator('.waterfall .u-over').evaluate((over) => over.clientHeight);
    await page.locator('.waterfall').focus();
    const drawn: number[] = [];
    for (const keys of [
      ['+'],
      ['+', '+'],
      ['ArrowDown'],
      ['+', '+', '+', '+'],
      ['ArrowRight'],
      ['+', '+', '+', '+'],
      ['0'],
    ]) {
      await page.evaluate(() => {
        window.filled = 0;
      });
      await press(page, ...keys);
      // Keys that come in several frames draw once in each.
      drawn.push((await page.evaluate(() => window.filled)) / keys.length);
    }
    expect(Math.max(...drawn)).toBeLessThanOrEqual(4 * height + 4);
    expect(drawn[0]).toBeGreaterThan(height / 4);
    expect(opened.complaints).toStrictEqual([]);
  });
});
