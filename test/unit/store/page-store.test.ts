import { describe, expect, test } from 'vitest';
import { createPageStore, isMadeOf, type PageStore } from '../../../src/store/page-store.ts';
import { accessDenied } from '../../support/misbehaving-s3.ts';
import { MIB, never, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();
const pages = (): PageStore => createPageStore(world.optionsOf(world.client));
const page = (html: string, madeOf = '"of a document"') => ({ html, madeOf });

describe('the page of a run', () => {
  test('stands beside its document, as HTML, and tells what it was made of', async () => {
    const runId = world.newRunId();
    expect(pages().location(runId)).toBe(`s3://results/runs/${runId}.html`);
    expect(await pages().find(runId, never())).toBeUndefined();
    expect(await pages().write(runId, page('<p>ä'), undefined, never())).toBe(true);
    expect((await world.stored(`runs/${runId}.html`))?.toString()).toBe('<p>ä');
    const { headers } = await fetch(`${world.real.endpoint}/results/runs/${runId}.html`);
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    const found = await pages().find(runId, never());
    expect(found).toStrictEqual({ etag: headers.get('etag'), madeOf: 'of a document' });
    expect([
      isMadeOf(found, '"of a document"'),
      isMadeOf(found, 'of a document'),
      isMadeOf(found, '"of another"'),
      isMadeOf(undefined, '"of a document"'),
    ]).toStrictEqual([true, true, false, false]);
  });

  test('may be larger than an upload part', async () => {
    const runId = world.newRunId();
    const html = 'x'.repeat(9 * MIB);
    expect(await pages().write(runId, page(html), undefined, never())).toBe(true);
    expect((await world.stored(`runs/${runId}.html`))?.toString() === html).toBe(true);
  });

  test('is not written over', async () => {
    const runId = world.newRunId();
    await pages().write(runId, page('first'), undefined, never());
    expect(await pages().write(runId, page('second'), undefined, never())).toBe(false);
    expect((await world.stored(`runs/${runId}.html`))?.toString()).toBe('first');
  });

  test('gives way to a later one that names it, once', async () => {
    const runId = world.newRunId();
    await pages().write(runId, page('first'), undefined, never());
    const first = await pages().find(runId, never());
    expect(await pages().write(runId, page('second', '"2"'), first, never())).toBe(true);
    expect(await pages().write(runId, page('third'), first, never())).toBe(false);
    expect(await pages().find(runId, never())).toMatchObject({ madeOf: '2' });
  });

  test('that somebody else put there is of nothing known', async () => {
    const runId = world.newRunId();
    await world.put(`runs/${runId}.html`, 'mine');
    expect((await pages().find(runId, never()))?.madeOf).toBeUndefined();
  });

  test('rejects where S3 does not answer as it should', async () => {
    world.s3.always('HeadObject', accessDenied);
    expect(await storeErrorOf(pages().find('denied', never()))).toMatchObject({ code: 'STORE_FAILED' });
  });
});

describe('the pages of parts', () => {
  test('are those of this run and of redrives of its parts', async () => {
    await world.clear();
    const own = ['night.part-000000', 'night.part-000001', 'night.part-000001.redrive-1'];
    const others = ['a', 'night', 'night.part', 'nightly.part-000000', 'night.part-000002/x', 'z'];
    for (const name of [...own, ...others]) await world.put(`runs/${name}.html`, 'x');
    await world.put('runs/night.part-000003.json', '{}');
    await world.put('runs/api/night.part-000004.html', 'x');
    expect(await pages().partsWithPages('night', never())).toStrictEqual(new Set(own));
    expect(await pages().partsWithPages('zz', never())).toStrictEqual(new Set());
  });

  test('may be more than S3 lists at once', async () => {
    await world.clear();
    const names = Array.from({ length: 1_001 }, (_, part) => `big.part-${String(part).padStart(6, '0')}`);
    for (let from = 0; from < names.length; from += 50)
      await Promise.all(names.slice(from, from + 50).map((name) => world.put(`runs/${name}.html`, 'x')));
    expect(await pages().partsWithPages('big', never())).toStrictEqual(new Set(names));
    expect(world.counts()).toStrictEqual({ ListObjectsV2: 2 });
  });
});
