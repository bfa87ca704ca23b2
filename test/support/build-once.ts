import { buildFunction } from '../../scripts/build/build.ts';

/** Builds dist/ once for the tests that run the bundle: built by several at once, it would be gone under their feet. */
export default async function buildOnce(): Promise<void> {
  await buildFunction();
}
