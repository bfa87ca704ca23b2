import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPage } from '../../scripts/build/page.ts';
import {
  type FixtureOptions,
  filledPage,
  filledPartsPage,
  partsFixture,
  runFixture,
} from '../support/page-fixtures.ts';
import { findChromium, launchChromium } from './chromium.ts';
import { nextFrame, openPage, pixelsOf } from './open-page.ts';

const executable = findChromium('The tests of the page of a run', process.env);

describe.skipIf(executable === undefined)('the page of a run', () => {
  let browser: Browser;
  let template: string;

  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    ({ html: template } = await buildPage());
  });

  afterAll(() => browser.close());

  const open = (options: FixtureOptions, context = {}) =>
    openPage(browser, filledPage(template, runFixture(options)), context);

  it('shows a run, asks for nothing and complains of nothing', async () => {
    await using opened = await open({ posts: 600 });
    const { page, complaints } = opened;
    const heads = await page.locator('h1, h2').allTextContents();
    expect([await page.title(), ...heads]).toStrictEqual([
      'Run 20261123T060000Z-8f14e45f',
      '20261123T060000Z-8f14e45f',
      'Outcomes',
      'Timeline',
      'Latency',
      'Failures',
    ]);
    expect(await page.locator('.badge').textContent()).toBe('Complete, with failures');
    expect(await page.locator('.headline').textContent()).toBe('600 posts572 fulfilled28 rejected');
    expect(complaints).toStrictEqual([]);
  });

  it('draws each outcome in its colour, waits and pauses', async () => {
    await using opened = await open({ posts: 60, shares: { NOT_FOUND: 0.2, HTTP_ERROR: 0.2 } });
    const { page } = opened;
    const drawn = await Promise.all(
      ['fulfilled', 'NOT_FOUND', 'HTTP_ERROR'].map((name) => pixelsOf(page, name)),
    );
    expect(drawn.map((count) => count > 100)).toStrictEqual([true, true, true]);
    expect(await pixelsOf(page, 'TIMEOUT')).toBe(0);
    const others = await Promise.all(['accent', 'fulfilled'].map((name) => pixelsOf(page, name, '.time')));
    expect(others[0]).toBeGreaterThan(50);
    expect(await pixelsOf(page, 'accent', '.latency .plot')).toBeGreaterThan(500);
  });

  it('says what there is to redrive and where the document is, and copies both', async () => {
    await using opened = await open({ posts: 300 });
    const { page } = opened;
    await page.getByRole('button', { name: 'Copy the redrive command' }).click();
    await page.getByRole('button', { name: 'Copy the place of the document' }).click();
    expect(await page.evaluate(() => window.copied)).toStrictEqual([
      'npm run redrive -- 20261123T060000Z-8f14e45f',
      's3://batch-fetcher-local/runs/20261123T060000Z-8f14e45f.json',
    ]);
    expect(await page.getByRole('button', { name: 'Copy the redrive command' }).textContent()).toBe('Copied');
  });

  it('copies where there is no clipboard', async () => {
    await using opened = await open({ posts: 300 });
    const { page } = opened;
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'));
      document.addEventListener('copy', () => window.copied.push(`${getSelection()}`));
    });
    await page.getByRole('button', { name: 'Copy the redrive command' }).click();
    await page.getByText('Copied', { exact: true }).waitFor();
    expect(await page.evaluate(() => window.copied.length)).toBe(1);
  });

  it.each([
    ['no posts', { posts: 0 }, 'There is nothing to show: the run had no posts.', 'The run had no posts.'],
    ['one post', { posts: 1, shares: {} }, undefined, 'No post failed.'],
  ])('shows a run of %s', async (_, options, timeline, failures) => {
    await using opened = await open(options);
    const { page, complaints } = opened;
    if (timeline) expect(await page.locator('.timeline .none').textContent()).toBe(timeline);
    expect(await page.locator('.failures .none').textContent()).toBe(failures);
    expect(complaints).toStrictEqual([]);
  });

  it('shows a run in which everything failed, and one that never fetched a post', async () => {
    await using failed = await open({ posts: 200, shares: { NETWORK: 1 } });
    expect(await pixelsOf(failed.page, 'NETWORK')).toBeGreaterThan(1_000);
    await using late = await open({ posts: 200, shares: { DEADLINE: 1 } });
    expect(await late.page.locator('.badge').textContent()).toBe('Incomplete');
    expect(await late.page.locator('.latency .none').textContent()).toBe('No post was attempted.');
    expect(await late.page.locator('.failures tbody tr').count()).toBe(50);
    expect([...failed.complaints, ...late.complaints]).toStrictEqual([]);
  });

  it('is shown by browsers of some years ago', async () => {
    // What came into browsers behind those that the page is built for.
    const growOld = () => {
      for (const [owner, name] of [
        [Map, 'groupBy'],
        [Object, 'groupBy'],
        [Promise, 'withResolvers'],
        [Promise, 'try'],
        [Array, 'fromAsync'],
        [Set.prototype, 'union'],
        [Set.prototype, 'intersection'],
        [globalThis, 'Iterator'],
      ] as const)
        Reflect.deleteProperty(owner, name);
    };
    const html = filledPage(template, runFixture({ posts: 50 }));
    await using opened = await openPage(browser, html, {}, growOld);
    expect(await opened.page.title()).toBe('Run 20261123T060000Z-8f14e45f');
    expect(await opened.page.locator('.failures .paged, .failures .none').count()).toBe(1);
  });

  it('draws no bars for outcomes of an earlier run, and says how many there are', async () => {
    const fixture = runFixture({ posts: 50, shares: { NOT_FOUND: 0.2 } });
    const { columns } = fixture;
    const startedMs = columns.startedMs.map((ms, row) => (row < 45 ? -1 : ms));
    const html = filledPage(template, { ...fixture, columns: { ...columns, startedMs } });
    await using opened = await openPage(browser, html);
    const { page, complaints } = opened;
    expect(await page.locator('.timeline .readout').textContent()).toBe(
      '45 posts without a bar: the outcome is that of an earlier run.',
    );
    await page.locator('.failures .link').first().click();
    await nextFrame(page);
    expect(await page.locator('.tooltip').textContent()).toContain('Startin an earlier run');
    expect(complaints).toStrictEqual([]);
  });

  it('counts the posts that it had attempts for into the rate of a run, and says how many these are', async () => {
    const { page: run, columns } = runFixture({ posts: 50, shares: {} });
    const bins = { ...columns.bins, ended: [0, 2, 3] };
    const summary = { ...run.summary, durationMs: 1_000 };
    const html = filledPage(template, { page: { ...run, summary }, columns: { ...columns, bins } });
    await using opened = await openPage(browser, html);
    const figure = opened.page.locator('.figures-grid > div', { hasText: 'Posts a second' });
    expect(await figure.locator('dd').allTextContents()).toStrictEqual(['5', '5 of 50 posts attempted']);
  });

  it('runs nothing that an origin or a caller sent, and shows it as it is', async () => {
    const hostile = '</script><img src=x onerror=alert(1)><script>alert(2)</script>\u202e"\'&lt;$&$1';
    const fixture = runFixture({
      posts: 40,
      shares: { NOT_FOUND: 0.5, '<b onclick=alert(3)>': 0.2 },
      idOf: (row) => `${row}-${'x'.repeat(124)}`,
      messageOf: () => hostile,
    });
    const { run } = fixture.page;
    const page = {
      ...fixture.page,
      location: hostile,
      redrive: hostile,
      run: { ...run, id: hostile, urlTemplate: hostile, requestId: hostile, startedAt: hostile },
    };
    await using opened = await openPage(browser, filledPage(template, { ...fixture, page }));
    expect(await opened.page.locator('h1').textContent()).toBe(hostile);
    expect(await opened.page.locator('td.message').first().textContent()).toBe(hostile);
    expect(await opened.page.locator('#page img, #page script, b').count()).toBe(0);
    expect(opened.complaints).toStrictEqual([]);
    const isTooWide = await opened.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(isTooWide).toBe(false);
  });

  it('says of a page that is cut short that it is', async () => {
    const html = filledPage(template, runFixture({ posts: 100 }));
    await using opened = await openPage(browser, html.replace(/(?<=id="posts">.{200})[^<]+/, ''));
    expect(await opened.page.locator('h1').textContent()).toBe('This page cannot be shown');
  });

  it('keeps to the theme of the system until the reader wants the other', async () => {
    await using opened = await open({ posts: 60 }, { colorScheme: 'dark' });
    const { page } = opened;
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    expect(await theme()).toBe('dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await nextFrame(page);
    expect(await theme()).toBe('light');
    await page.getByRole('button', { name: 'Dark theme' }).click();
    expect(await theme()).toBe('dark');
    expect(await pixelsOf(page, 'fulfilled')).toBeGreaterThan(100);
    await page.reload();
    await page.waitForSelector('html[data-shown]', { state: 'attached' });
    expect(await theme()).toBe('dark');
  });

  it('is light on paper, with whole charts and a table that goes on', async () => {
    await using opened = await open({ posts: 4_000 }, { colorScheme: 'dark' });
    const { page } = opened;
    const rows = page.locator('.failures tbody tr');
    expect(await rows.count()).toBe(50);
    await page.emulateMedia({ media: 'print' });
    await nextFrame(page);
    const failed = await rows.count();
    expect(failed).toBeGreaterThan(100);
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('light');
    const widths = await page.evaluate(() =>
      Array.from(document.querySelectorAll('canvas'), (canvas) => canvas.getBoundingClientRect().width),
    );
    expect(widths).toStrictEqual([680, 680, 680, 680]);
    expect(await page.locator('.theme, .zoom, .tools').filter({ visible: true }).count()).toBe(0);
    await page.emulateMedia({ media: 'screen' });
    await nextFrame(page);
    expect([
      await rows.count(),
      await page.evaluate(() => document.documentElement.dataset.theme),
    ]).toStrictEqual([50, 'dark']);
    expect((await page.pdf()).subarray(0, 5).toString()).toBe('%PDF-');
  });

  it('shows the parts of a run, which link to their own pages alone', async () => {
    const parts = partsFixture(40);
    const [first, ...others] = parts.parts;
    if (!first) throw new Error('Expected a part');
    const hostile = { ...parts, parts: [{ ...first, href: 'javascript:alert(1)' }, ...others] };
    await using opened = await openPage(browser, filledPartsPage(template, hostile));
    const { page, complaints } = opened;
    expect(await page.locator('.failures tbody tr').count()).toBe(40);
    const links = await page
      .locator('.failures a')
      .evaluateAll((all) => all.map((a) => a.getAttribute('href')));
    expect(links).toStrictEqual(others.flatMap(({ href }) => href ?? []));
    await page.getByRole('button', { name: 'Posts a second' }).click();
    expect(await page.locator('.failures tbody td.id').first().textContent()).toBe('nightly.part-000036');
    const drawn = await Promise.all(['fulfilled', 'partial'].map((name) => pixelsOf(page, name)));
    expect(drawn.map((count) => count > 50)).toStrictEqual([true, true]);
    await page.locator('.failures').getByRole('button', { name: 'no document' }).click();
    expect(await page.locator('.failures tbody tr').count()).toBe(1);
    expect(complaints).toStrictEqual([]);
  });

  it('says that not all parts are shown, and no rate of a part that was redriven', async () => {
    const whole = partsFixture(40);
    const parts = whole.parts.slice(0, 2).map((part, at) => ({
      ...part,
      runId: at === 0 ? `${part.runId}.redrive-2` : part.runId,
    }));
    await using opened = await openPage(browser, filledPartsPage(template, { ...whole, parts }));
    const { page } = opened;
    expect(await page.locator('.warning').last().textContent()).toBe(
      'The waterfall and the table show 2 of 40 parts; figures are those of all.',
    );
    const rates = await page.locator('.failures tbody td:nth-child(10)').allTextContents();
    expect(rates).toStrictEqual(['–', expect.stringMatching(/^\d+$/)]);
  });
});
