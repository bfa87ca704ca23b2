import { describe, expect, test } from 'vitest';
import { copyDocument } from '../../../src/store/document-copy.ts';
import type { RunStore } from '../../../src/store/run-store.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { storedDocument } from '../../support/stored-document.ts';

const { signal } = new AbortController();
const text = storedDocument('run-1');

/** A store in memory, which is copied from, and what it is asked for. */
function world(maxBytes: number) {
  const memory = new MemoryStore();
  const store: RunStore = {
    location: (runId) => memory.location(runId),
    find: (runId) => memory.find(runId),
    read: (runId) => memory.read(runId),
    stream: (...given) => memory.stream(...given),
    write: (runId, chunks, signal) => memory.write(runId, chunks, signal),
    findOutcomes: (runId) => memory.findOutcomes(runId),
    writeOutcomes: (...given) => memory.writeOutcomes(...given),
  };
  return { memory, copy: copyDocument(store, maxBytes) };
}

async function* inChunks(...chunks: string[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

describe('the document of a run that was written', () => {
  test.each([
    ['is kept where it is as long as may be', text.length, text],
    ['is not kept where it is a byte longer', text.length - 1, undefined],
    ['is not kept where it grows too long in its first chunk', 3, undefined],
  ])('%s, and is not read again', async (_, maxBytes, expected) => {
    const { memory, copy } = world(maxBytes);
    const chunks = inChunks(text.slice(0, 10), text.slice(10, 50), text.slice(50));
    expect(await copy.store.write('run-1', chunks, signal)).toBe(true);
    expect(memory.documents.get('run-1')).toBe(text);
    expect(await copy.document('run-1', signal)).toBe(expected);
    expect(memory.asked).toStrictEqual(['write']);
  });
});

describe('the document of a run that was there', () => {
  test.each([
    ['is read where it is as long as may be', text.length, text, ['find', 'read']],
    ['is not read where it is a byte longer', text.length - 1, undefined, ['find']],
  ])('%s', async (_, maxBytes, expected, asked) => {
    const { memory, copy } = world(maxBytes);
    memory.documents.set('run-1', text);
    expect(await copy.store.find('run-1', signal)).toMatchObject({ documentBytes: text.length });
    expect(await copy.document('run-1', signal)).toBe(expected);
    expect(memory.asked).toStrictEqual(asked);
  });

  test('is that of the other delivery, where this one was second', async () => {
    const { memory, copy } = world(1_000);
    expect(await copy.store.find('run-1', signal)).toBeUndefined();
    memory.documents.set('run-1', text);
    expect(await copy.store.write('run-1', inChunks('what this one wrote'), signal)).toBe(false);
    await copy.store.find('run-1', signal);
    expect(await copy.document('run-1', signal)).toBe(text);
  });

  test('is that of the run, whatever others were looked for', async () => {
    const { memory, copy } = world(1_000);
    memory.documents.set('run-1', text);
    memory.documents.set('run-1.redrive-1', storedDocument('run-1', { total: 1 }));
    await copy.store.find('run-1', signal);
    await copy.store.find('run-1.redrive-1', signal);
    expect(await copy.document('run-1', signal)).toBe(text);
  });
});
