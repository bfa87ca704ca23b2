/** Puts one object, in the plain way. */
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const client = new S3Client({});

export const handler = async (_event, { awsRequestId }) => {
  const Key = `plain/${awsRequestId}.json`;
  await client.send(new PutObjectCommand({ Bucket: process.env.RESULTS_BUCKET, Key, Body: '[]' }));
  return { Key };
};
