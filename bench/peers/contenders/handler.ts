/** The built function, from the event to the stored document. Its environment is the process's. */
import type { DirectReply } from '../../../src/lambda/events/reply.ts';
import type { FetchAll, FetchedPost } from './contender.ts';

const { handler }: typeof import('../../../src/lambda/fetch.ts') = await import(
  new URL('../../../dist/handler.js', import.meta.url).href
);

export const fetchAll: FetchAll = async ({ posts }) => {
  const reply = await handler(
    { ids: [{ from: 1, to: posts }] },
    // All that the function uses of its context.
    { awsRequestId: crypto.randomUUID(), getRemainingTimeInMillis: () => 900_000 } as never,
  );
  const { location, summary } = reply as DirectReply;
  if (summary.fulfilled !== posts) throw new Error(`Expected ${posts} posts, got ${JSON.stringify(reply)}`);
  return storedPosts(location);
};

/** Reads the document when it is asked for a post, which is when the clock has stopped. */
async function* storedPosts(location: string): AsyncGenerator<FetchedPost> {
  const path = location.slice('s3://'.length);
  const response = await fetch(`${process.env.AWS_ENDPOINT_URL_S3}/${path}`);
  const { results } = (await response.json()) as { readonly results: readonly { value: FetchedPost }[] };
  for (const { value } of results) yield value;
}
