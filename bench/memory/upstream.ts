import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { postOf, wordyPostOf } from '../support/post.ts';
import type { UpstreamPosts } from './function.ts';

/* A posts API in a thread of its own: every id is a post of so many bytes, of words or not. Tells its port. */
const { postBytes, hasWords }: UpstreamPosts = workerData;
const server = createServer(({ url = '' }, response) => {
  const id = url.slice(url.lastIndexOf('/') + 1);
  response
    .setHeader('content-type', 'application/json')
    .end(hasWords ? wordyPostOf(Number(id), postBytes) : postOf(id, postBytes));
});
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
