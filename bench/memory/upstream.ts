import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { postOf } from '../support/post.ts';

/* A posts API in a thread of its own: every id is a post of `workerData` bytes. Tells its port. */
const server = createServer(({ url = '' }, response) => {
  const id = url.slice(url.lastIndexOf('/') + 1);
  response.setHeader('content-type', 'application/json').end(postOf(id, Number(workerData)));
});
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
