import { anyMs, anyTime } from './any.ts';
import { anyTraffic } from './plain-traffic.ts';

/** The direct reply to the lesson's ids, 1, 99999 and 3, of which the second has no post. */
export const lessonReply = (runId: unknown, location: string) => ({
  runId,
  location,
  replayed: false,
  errors: {
    total: 1,
    byCode: { NOT_FOUND: 1 },
    first: [{ index: 1, id: 99999, code: 'NOT_FOUND', message: 'No data for post 99999' }],
    retryableIds: [],
  },
  summary: {
    finishedAt: anyTime,
    durationMs: anyMs,
    requested: 3,
    fulfilled: 2,
    rejected: 1,
    attempts: 3,
    complete: true,
    latencyMs: { p50: anyMs, p90: anyMs, p99: anyMs, max: anyMs },
    ...anyTraffic(),
  },
});
