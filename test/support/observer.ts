import type { RunObserver } from '../../src/run/observer.ts';

/** For tests of something else. */
export const silentObserver: RunObserver = {
  runStarted() {},
  postRejected() {},
  runEnded() {},
  runReplayed() {},
  runInProgress() {},
  runFailed() {},
};
