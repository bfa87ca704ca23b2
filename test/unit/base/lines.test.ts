import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eachLine } from '../../../src/base/lines.ts';

async function* chunksOf(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function linesOf(...chunks: readonly Buffer[]): Promise<string[]> {
  return (await Array.fromAsync(eachLine(chunksOf(chunks)))).map(String);
}

test.each([
  ['', []],
  ['a', ['a']],
  ['a\n', ['a']],
  ['a\nb', ['a', 'b']],
  ['\na\n\n', ['', 'a', '']],
])('the lines of %j are %j', async (text, lines) => {
  expect(await linesOf(Buffer.from(text))).toStrictEqual(lines);
});

test('wherever a text is cut, in the middle of a character too, its lines are the same', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '😀', '\r') })),
      fc.array(fc.nat(40), { maxLength: 8 }),
      async (lines, cuts) => {
        const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const chunks = places.slice(1).map((to, i) => text.subarray(places[i], to));
        expect(await linesOf(...chunks)).toStrictEqual(lines);
      },
    ),
  );
});

test('throws what the chunks throw', async () => {
  const thrown = new Error('The source');
  const chunks = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('a\nb');
    throw thrown;
  };
  const lines = eachLine(chunks());
  expect((await lines.next()).value?.toString()).toBe('a');
  await expect(lines.next()).rejects.toBe(thrown);
});
