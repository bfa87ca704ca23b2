/** A post of so many bytes, all of them ASCII. */
export function postOf(id: number | string, bytes: number): string {
  const head = postHead(id);
  return `${head}${'x'.repeat(bytes - head.length - POST_TAIL.length)}${POST_TAIL}`;
}

/** What stands before the filler of a post, whose title it is. */
export function postHead(id: number | string): string {
  return `{"userId":1,"id":${id},"title":"`;
}

/** What stands behind the filler. */
export const POST_TAIL = '"}';
