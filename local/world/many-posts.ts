import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Listening, listen } from './listen.ts';

/** Serves `GET /posts/<id>` for every id but one in a thousand, some after a longer time than others. */
export function startManyPosts(): Promise<Listening> {
  const server = createServer(async (request, response) => {
    const id = Number(/^\/posts\/(\d+)$/.exec(request.url ?? '')?.[1]);
    await sleep(5 + ((id * 31) % 56));
    const isThere = id > 0 && id % 1_000 !== 999;
    const post = { userId: Math.ceil(id / 10), id, title: `Post ${id}`, body: 'Of many.\n'.repeat(10) };
    response.writeHead(isThere ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isThere ? post : {}));
  });
  return listen(server);
}
