/**
 * A posts API in a process of its own, which tells its port to whoever forked it, and ends with it.
 *
 * `/<bytes>/posts/<id>` answers at once, `/late/<run>/<seed>/<stalls: 0 or 1>/posts/<id>` as latency.ts says:
 * each run meets the same latencies anew.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { postOf } from '../support/post.ts';
import { latencyMs } from './latency.ts';

const LATE_BYTES = 300;
const requests = new Map<string, number>();

const server = createServer({ keepAliveTimeout: 600_000 }, ({ url = '' }, response) => {
  const [, first, ...rest] = url.split('/');
  const id = Number(rest.at(-1));
  const bytes = first === 'late' ? LATE_BYTES : Number(first);
  const answer = (): void => {
    response.setHeader('content-type', 'application/json').end(postOf(id, bytes));
  };
  if (first !== 'late') return answer();
  const [, seed, stalls] = rest;
  const request = requests.get(url) ?? 0;
  requests.set(url, request + 1);
  const timer = setTimeout(answer, latencyMs(Number(seed), id, request, stalls === '1'));
  response.once('close', () => clearTimeout(timer));
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.once('disconnect', () => process.exit());
