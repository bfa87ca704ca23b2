/** A post of so many bytes, all of them ASCII. */
export function postOf(id: number | string, bytes: number): string {
  const head = postHead(id);
  return `${head}${'x'.repeat(bytes - head.length - POST_TAIL.length)}${POST_TAIL}`;
}

const WORDS =
  'sunt aut facere repellat provident occaecati excepturi optio quia et suscipit recusandae expedita cum molestiae quas totam nostrum rerum est autem architecto dolore eum qui esse voluptas nihil impedit laborum fugiat velit dolorem ipsam magni'.split(
    ' ',
  );

/** A post of so many bytes as well, whose title is words, other ones for each id: as hard to compress as texts are. */
export function wordyPostOf(id: number, bytes: number): string {
  const length = bytes - postHead(id).length - POST_TAIL.length;
  let seed = id;
  let title = '';
  while (title.length < length) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    title += `${WORDS[(seed >>> 8) % WORDS.length]} `;
  }
  return `${postHead(id)}${title.slice(0, length)}${POST_TAIL}`;
}

/** What stands before the filler of a post, whose title it is. */
export function postHead(id: number | string): string {
  return `{"userId":1,"id":${id},"title":"`;
}

/** What stands behind the filler. */
export const POST_TAIL = '"}';
