/** `gather` and `fetchPost` of src/, as the function puts them together, with neither event nor document nor S3. */
import { systemClock } from '../../../src/base/clock.ts';
import { startFetching } from '../../../src/fetch/fetching.ts';
import { openOrigin } from '../../../src/fetch/origin/origin.ts';
import type { Post } from '../../../src/fetch/outcome.ts';
import { gather } from '../../../src/gather.ts';
import { readConfig } from '../../../src/lambda/config.ts';
import { type FetchAll, type FetchedPost, ids } from './contender.ts';

export const fetchAll: FetchAll = async (task) => {
  const { posts, concurrency } = task;
  const config = readConfig({
    RESULTS_BUCKET: 'not-used',
    POST_URL: `${task.origin}${task.path}{id}`,
    CONCURRENCY: String(concurrency),
  });
  const startMs = systemClock.now();
  const ports = {
    origin: openOrigin({ ...config, connections: concurrency }, { clock: systemClock }),
    clock: systemClock,
    random: Math.random,
  };
  const { fetchPost } = startFetching(config, ports, {
    startMs,
    deadlineMs: startMs + 900_000,
    requested: posts,
  });
  const outcomes = await gather(ids(task), (id, _index, signal) => fetchPost(id, signal), {
    concurrency,
    returnExceptions: true,
  });
  return parsed(outcomes);
};

/** Each value was parsed when it came, to be checked; what it holds is its text. */
function* parsed(outcomes: readonly PromiseSettledResult<Post>[]): Generator<FetchedPost> {
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') throw outcome.reason;
    yield JSON.parse(outcome.value.value.toString());
  }
}
