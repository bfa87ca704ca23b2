import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build-once.ts'],
    testTimeout: 20_000,
    // By default one core of two stays idle, and most tests wait for a server or a process.
    maxWorkers: 2,
    // The function's own log, of hundreds of runs; what tests it switches it on.
    env: { POWERTOOLS_LOG_LEVEL: 'SILENT', POWERTOOLS_METRICS_DISABLED: 'true' },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'html', ['text', { skipFull: true }]],
      thresholds: { 100: true },
    },
  },
});
