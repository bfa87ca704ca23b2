import { vi } from 'vitest';

/**
 * Catches what the process writes to its streams until mocks are restored: Powertools has a console of its own, which
 * writes there.
 */
export function captureWrites(): string[] {
  const written: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
  return written;
}
