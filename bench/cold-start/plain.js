/** What the function does at the least, in the plain way: looks for a document, fetches, uploads. */
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { request } from 'undici';

const client = new S3Client({});

export const handler = async ({ ids }, { awsRequestId }) => {
  const Bucket = process.env.RESULTS_BUCKET;
  const Key = `plain/${awsRequestId}.json`;
  try {
    await client.send(new GetObjectCommand({ Bucket, Key }));
  } catch (error) {
    if (error.name !== 'NoSuchKey') throw error;
  }
  const posts = await Promise.allSettled(
    ids.map(async (id) => {
      const { body } = await request(process.env.POST_URL.replace('{id}', id));
      return body.json();
    }),
  );
  await new Upload({ client, params: { Bucket, Key, Body: JSON.stringify(posts) } }).done();
  return { Key, fulfilled: posts.filter(({ status }) => status === 'fulfilled').length };
};
