import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { templateText } from '../../support/page-template.ts';

vi.mock('node:fs/promises', { spy: true });

async function load() {
  vi.resetModules();
  return import('../../../src/report/template.ts');
}

afterEach(() => {
  vi.resetAllMocks();
});

describe('the template of pages', () => {
  test('is that of the build, read once', async () => {
    const { readTemplate } = await load();
    vi.mocked(readFile).mockResolvedValueOnce(templateText);
    const template = await readTemplate();
    expect(template).toStrictEqual({
      text: templateText,
      policy: "default-src 'none'; script-src 'sha256-abc='; img-src data:; frame-ancestors 'none'",
      tag: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(await readTemplate()).toBe(template);
    const file = new URL(`file://${join(import.meta.dirname, '../../../dist/page.html')}`);
    expect(vi.mocked(readFile).mock.calls).toStrictEqual([[file, 'utf8']]);
  });

  test('that cannot be read is looked for again', async () => {
    const { readTemplate } = await load();
    vi.mocked(readFile).mockRejectedValueOnce(Object.assign(new Error('none'), { code: 'ENOENT' }));
    await expect(readTemplate()).rejects.toMatchObject({ code: 'ENOENT' });
    vi.mocked(readFile).mockResolvedValueOnce(templateText);
    await expect(readTemplate()).resolves.toMatchObject({ text: templateText });
  });

  test('says what its pages may do', async () => {
    const { templateOf } = await load();
    expect(() => templateOf('<html></html>')).toThrow(
      'Expected the template of the page to have a Content-Security-Policy',
    );
  });
});
