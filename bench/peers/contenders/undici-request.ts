/** As many loops as connections, each with `request` of undici, and nothing else. */
import { Pool } from 'undici';
import type { FetchAll, FetchedPost } from './contender.ts';

export const fetchAll: FetchAll = async ({ origin, path, posts, concurrency }) => {
  const pool = new Pool(origin, { connections: concurrency });
  const fetched = new Array<FetchedPost>(posts);
  let next = 1;
  const loop = async (): Promise<void> => {
    while (next <= posts) {
      const id = next++;
      const { statusCode, body } = await pool.request({ path: path + id, method: 'GET' });
      if (statusCode !== 200) throw new Error(`Post ${id} answered HTTP ${statusCode}`);
      fetched[id - 1] = (await body.json()) as FetchedPost;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return fetched;
};
