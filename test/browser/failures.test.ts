import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPage } from '../../scripts/build/page.ts';
import { filledPage, type RunFixture, runFixture } from '../support/page-fixtures.ts';
import { findChromium, launchChromium } from './chromium.ts';
import { announced, nextFrame, openPage } from './open-page.ts';

const executable = findChromium('The tests of the failures', process.env);

describe.skipIf(executable === undefined)('the table of failures', () => {
  let browser: Browser;
  let template: string;
  const fixture = runFixture({ posts: 3_000, shares: { NOT_FOUND: 0.03, TIMEOUT: 0.01, HTTP_ERROR: 0.005 } });
  const { columns } = fixture;
  const failed = columns.id.flatMap((id, row) => (columns.code[row] ? [{ id, row }] : []));
  const codeAt = (row: number) => columns.codes[(columns.code[row] ?? 0) - 1];

  beforeAll(async () => {
    browser = await launchChromium(executable ?? '');
    ({ html: template } = await buildPage());
  });

  afterAll(() => browser.close());

  const open = (run: RunFixture = fixture) => openPage(browser, filledPage(template, run));
  const idsOn = (page: Page) => page.locator('.failures td.id').allTextContents();
  const copied = (page: Page): Promise<unknown[]> =>
    page.evaluate(() => window.copied.map((text) => JSON.parse(text)));

  it('has all that failed, in the order of the results, by pages', async () => {
    await using opened = await open();
    const { page } = opened;
    const first = await idsOn(page);
    await page.getByRole('button', { name: 'Next page' }).click();
    const second = await idsOn(page);
    expect([...first, ...second]).toStrictEqual(failed.slice(0, 100).map(({ id }) => `${id}`));
    await page.getByRole('button', { name: 'Last page' }).click();
    expect((await idsOn(page)).at(-1)).toBe(`${failed.at(-1)?.id}`);
    expect(await page.getByRole('button', { name: 'Next page' }).isDisabled()).toBe(true);
    expect(await announced(page)).toMatch(new RegExp(`of ${failed.length}$`));
  });

  it('is sorted by each column, and says by which', async () => {
    await using opened = await open();
    const { page } = opened;
    const heads = page.locator('.failures thead button');
    const labels = await heads.allTextContents();
    expect(labels).toStrictEqual([
      'Index',
      'Id',
      'Code',
      'Message',
      'HTTP',
      'Attempts',
      'Start',
      'Took',
      'Waited',
      'Retryable',
    ]);
    for (const [at, label] of labels.entries()) {
      await heads.nth(at).click();
      await page.locator(`.failures th[aria-sort] >> text=${label}`).waitFor();
    }
    expect(await page.locator('.failures th[aria-sort]').count()).toBe(1);
    await page.getByRole('button', { name: 'Took' }).click();
    await page.getByRole('button', { name: 'Took' }).click();
    const longest = failed.toSorted(
      (a, b) => (columns.durationMs[b.row] ?? 0) - (columns.durationMs[a.row] ?? 0) || a.row - b.row,
    );
    expect(await page.locator('.failures th[aria-sort]').getAttribute('aria-sort')).toBe('descending');
    expect(await idsOn(page)).toStrictEqual(longest.slice(0, 50).map(({ id }) => `${id}`));
  });

  it('is searched and narrowed down, and gives the ids that are shown, and all', async () => {
    await using opened = await open();
    const { page } = opened;
    await page.getByRole('button', { name: /^Copy all ids/ }).click();
    await page.locator('.failures').getByRole('button', { name: 'TIMEOUT' }).click();
    const timedOut = failed.filter(({ row }) => codeAt(row) === 'TIMEOUT').map(({ id }) => id);
    await page.getByRole('button', { name: /that are shown$/ }).click();
    await page.getByLabel('Search').fill('LONGER than');
    expect(await page.locator('.said').textContent()).toBe(
      `${timedOut.length} of ${failed.length} failed posts`,
    );
    await page.getByLabel('Search').fill('no such post');
    expect(await page.locator('.failures td.empty').textContent()).toBe('No failed post is like that.');
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByLabel('Search').fill('404');
    const of404 = failed.filter(({ id, row }) =>
      `${id}${columns.messages[failed.findIndex((one) => one.row === row)]}`.includes('404'),
    );
    expect(await page.locator('.said').textContent()).toBe(
      `${of404.length} of ${failed.length} failed posts`,
    );
    expect(await copied(page)).toStrictEqual([failed.map(({ id }) => id), timedOut]);
  });

  it('gives each id once, however often it is in the batch, and says how many there are', async () => {
    const ids = [7, '7', 'a', 7, 'a', 8];
    await using opened = await open(
      runFixture({ posts: ids.length, shares: { NOT_FOUND: 1 }, idOf: (row) => ids[row] ?? '' }),
    );
    const { page } = opened;
    await page.getByRole('button', { name: /^Copy all ids/ }).click();
    await page.getByLabel('Search').fill('not');
    await page.getByRole('button', { name: 'Copy 3 ids of failed posts that are shown' }).click();
    expect(await copied(page)).toStrictEqual([
      [7, 'a', 8],
      [7, 'a', 8],
    ]);
  });

  it('picks an outcome everywhere at once', async () => {
    await using opened = await open();
    const { page } = opened;
    await page.locator('.summary').getByRole('button', { name: 'HTTP_ERROR' }).click();
    const pressed = page.locator('[aria-pressed=true]');
    expect(await pressed.count()).toBe(2);
    const codes = await page.locator('.failures td.code').allTextContents();
    expect(new Set(codes)).toStrictEqual(new Set(['HTTP_ERROR']));
  });

  it('leads to a post in the waterfall, by its name or by its row', async () => {
    await using opened = await open();
    const { page } = opened;
    const [first, second] = failed;
    await page.getByRole('button', { name: `${first?.id}: show in the waterfall`, exact: true }).click();
    await nextFrame(page);
    expect(await announced(page)).toMatch(new RegExp(`^Post ${first?.id}: `));
    expect(await page.evaluate(() => document.activeElement?.className)).toBe('plot waterfall');
    expect(await page.locator('.tooltip-title').textContent()).toBe(`Post ${first?.id}`);
    await page.locator('.failures tbody tr').nth(1).locator('td.message').click();
    expect(await announced(page)).toMatch(new RegExp(`^Post ${second?.id}: `));
  });

  it('stands 100,000 failures', async () => {
    await using opened = await open(runFixture({ posts: 100_000, shares: { NOT_FOUND: 0.6, NETWORK: 0.4 } }));
    const { page, complaints } = opened;
    await page.getByRole('button', { name: 'Message' }).click();
    await page.getByLabel('Search').fill('post 9999');
    expect(await page.locator('.failures tbody tr').count()).toBeLessThanOrEqual(50);
    expect(complaints).toStrictEqual([]);
  });
});
