import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

/* A posts API in a thread of its own: every id is a post of `workerData` bytes. Tells its port. */
const post = (id: string): string => {
  const head = `{"userId":1,"id":${id},"title":"`;
  return `${head}${'x'.repeat(Number(workerData) - head.length - 2)}"}`;
};
const server = createServer(({ url = '' }, response) => {
  response.setHeader('content-type', 'application/json').end(post(url.slice(url.lastIndexOf('/') + 1)));
});
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
