import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  GetParameterCommand,
  PutParameterCommand,
  SSMClient,
  SSMServiceException,
} from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ParameterStore, startParameterStore } from '../../../local/world/parameters.ts';

const root = mkdtempSync(join(tmpdir(), 'parameter-store-test-'));
const directory = join(root, 'parameters');
let store: ParameterStore;
let ssm: SSMClient;

beforeAll(async () => {
  store = await startParameterStore({ directory });
  ssm = new SSMClient({
    endpoint: store.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
});
afterAll(async () => {
  ssm.destroy();
  await store.close();
  rmSync(root, { recursive: true });
});

function write(file: string, value: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), value);
}

const get = (Name: string, WithDecryption = true) =>
  ssm.send(new GetParameterCommand({ Name, WithDecryption }));

/** The error's name and HTTP status. */
async function refusalOf(request: Promise<unknown>): Promise<[string, number | undefined]> {
  const error = await request.then(
    () => new Error('It was not refused'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SSMServiceException)) throw error;
  return [error.name, error.$metadata.httpStatusCode];
}

test.each(['/team/headers', 'team/headers'])('%s is what its file holds, as a SecureString', async (name) => {
  write('parameters/team/headers.json', '{"a":"ä"}\n');
  const { Parameter } = await get(name);
  expect(Parameter).toStrictEqual({
    ARN: 'arn:aws:ssm:us-east-1:000000000000:parameter/team/headers',
    DataType: 'text',
    LastModifiedDate: expect.any(Date),
    Name: name,
    Type: 'SecureString',
    Value: '{"a":"ä"}\n',
    Version: 1,
  });
});

test('a file is read at each request', async () => {
  write('parameters/changed.json', 'before');
  await get('changed');
  write('parameters/changed.json', 'after');
  expect((await get('changed')).Parameter?.Value).toBe('after');
});

test.each([
  'nothing',
  '/team/headers/below',
  '../outside',
  '/../outside',
  'team/../../outside',
  './team/headers',
  'team//headers',
  'team\\headers',
  '/',
  '',
])('%j is not found', async (name) => {
  write('outside.json', 'secret');
  write('parameters/team/headers.json', '{}');
  write('parameters/team/headers', 'a file where a folder would have to be');
  expect(await refusalOf(get(name))).toStrictEqual(['ParameterNotFound', 400]);
});

test('a file that cannot be read is an error of the server', async () => {
  mkdirSync(join(directory, 'folder.json'), { recursive: true });
  expect(await refusalOf(get('folder'))).toStrictEqual(['InternalServerError', 500]);
});

test('the ciphertext is not to be had', async () => {
  write('parameters/plain.json', '{}');
  expect(await refusalOf(get('plain', false))).toStrictEqual(['ValidationException', 400]);
});

test('any other operation is one that it does not know', async () => {
  const put = ssm.send(new PutParameterCommand({ Name: 'a', Value: 'b' }));
  await expect(put).rejects.toThrow('This stand-in knows GetParameter alone, not AmazonSSM.PutParameter');
  expect(await refusalOf(put)).toStrictEqual(['UnknownOperationException', 400]);
});

test.each([
  ['GET', undefined, 'UnknownOperationException'],
  ['POST', '{"Name":', 'SerializationException'],
  ['POST', 'null', 'ValidationException'],
  ['POST', '{"Name":7,"WithDecryption":true}', 'ValidationException'],
])('%s with the body %s is refused', async (method, body, type) => {
  const headers = { 'x-amz-target': 'AmazonSSM.GetParameter' };
  const response = await fetch(store.endpoint, { method, headers, ...(body && { body }) });
  expect([response.status, await response.json()]).toMatchObject([400, { __type: type }]);
});

test('after close nothing listens, though a connection was kept alive', async () => {
  const brief = await startParameterStore({ directory });
  await fetch(brief.endpoint);
  await brief.close();
  await expect(fetch(brief.endpoint)).rejects.toThrow('fetch failed');
});
