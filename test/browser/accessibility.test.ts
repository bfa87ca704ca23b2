import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPage } from '../../scripts/build/page.ts';
import { filledPage, filledPartsPage, partsFixture, runFixture } from '../support/page-fixtures.ts';
import { findChromium, launchChromium } from './chromium.ts';
import { openPage } from './open-page.ts';

const executable = findChromium('The tests of accessibility', process.env);
const require = createRequire(import.meta.url);

describe.skipIf(executable === undefined)('the page for everybody', () => {
  let browser: Browser;
  let pages: Readonly<Record<string, string>>;
  let axe: string;

  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    const { html } = await buildPage();
    pages = {
      run: filledPage(html, runFixture({ posts: 800 })),
      parts: filledPartsPage(html, partsFixture(40)),
      empty: filledPage(html, runFixture({ posts: 0 })),
    };
    axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  });

  afterAll(() => browser.close());

  /** What axe finds, a line each. */
  const violationsOn = async (page: Page): Promise<readonly string[]> => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate<Pick<AxeResults, 'violations'>>(
      '(async () => { const { violations } = await axe.run(); return { violations }; })()',
    );
    return violations.map(
      ({ id, impact, nodes }) =>
        `${impact}: ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`,
    );
  };

  describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
    it.each([390, 820, 1_440])('has nothing that axe finds, at a width of %i', async (width) => {
      for (const html of Object.values(pages)) {
        await using opened = await openPage(browser, html, {
          colorScheme,
          viewport: { width, height: 900 },
        });
        const { page } = opened;
        for (const summary of await page.locator('summary').all()) await summary.click();
        expect(await violationsOn(page)).toStrictEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      }
    });
  });

  it('lets a keyboard get everywhere, and shows where it is', async () => {
    await using opened = await openPage(browser, pages.run ?? '');
    const { page } = opened;
    const reached = new Set<string>();
    for (let press = 0; press < 60; press += 1) {
      await page.keyboard.press('Tab');
      reached.add(
        await page.evaluate(() => {
          const at = document.activeElement;
          const isSeen = at && getComputedStyle(at).outlineStyle !== 'none';
          if (at === document.body) return 'the end';
          return `${isSeen ? '' : 'unseen '}${at?.getAttribute('aria-label') ?? at?.textContent ?? ''}`;
        }),
      );
    }
    expect([...reached].filter((name) => name.startsWith('unseen'))).toStrictEqual([]);
    for (const name of [
      'Dark theme',
      'Copy the redrive command',
      'Zoom in',
      'In flight',
      'Posts a second',
      'Waterfall of the posts',
    ])
      expect([...reached]).toContain(name);
  });

  it('has each picture say what it shows', async () => {
    await using opened = await openPage(browser, pages.run ?? '');
    const names = await opened.page
      .locator('canvas')
      .evaluateAll((all) =>
        all.map((canvas) => `${canvas.getAttribute('role')}: ${canvas.getAttribute('aria-label')}`),
      );
    expect(names).toStrictEqual([
      expect.stringMatching(/^img: Attempts in flight over time: .+ at most/),
      expect.stringMatching(/^img: Posts that ended a second over time: .+ at most/),
      expect.stringMatching(/^img: Waterfall: when each of 800 posts was fetched, in .+/),
      expect.stringMatching(/^img: How long posts took: p50 .+, p90 .+, p99 .+/),
    ]);
  });
});
