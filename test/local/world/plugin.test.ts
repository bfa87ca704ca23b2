import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';

const project = join(import.meta.dirname, '../../..');

test('invoke local sends the headers of a local parameter to the origin, and shows them nowhere', {
  timeout: 60_000,
}, async () => {
  const secret = `Bearer ${randomUUID()}`;
  const received: (string | undefined)[] = [];
  const origin = createServer((request, response) => {
    received.push(request.headers.authorization);
    response.writeHead(500).end(secret);
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const { port } = origin.address() as AddressInfo; // a TCP server has no other kind

  const name = `test-${randomUUID()}`;
  const parameter = join(project, '.local/parameters', `${name}.json`);
  await mkdir(join(parameter, '..'), { recursive: true });
  await writeFile(parameter, JSON.stringify({ Authorization: secret }));

  const args = ['invoke', 'local', '-f', 'fetch', '--stage', 'local', '-d', '{"ids":[1,2]}'];
  const child = spawn('npx', ['serverless', ...args], {
    cwd: project,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      NO_COLOR: '1',
      POST_URL: `http://127.0.0.1:${port}/{id}`,
      POST_HEADERS_PARAMETER: `/${name}`,
      MAX_ATTEMPTS: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  origin.close();
  await rm(parameter);

  const { location, summary } = JSON.parse(out) as { location: string; summary: { rejected: number } };
  const file = location.slice('s3://'.length);
  const document = await readFile(join(project, '.local/s3', file), 'utf8');
  await rm(join(project, '.local/s3', file));
  await rm(join(project, '.local/s3/.headers', `${file}.json`));

  expect([code, summary.rejected, received]).toStrictEqual([0, 2, [secret, secret]]);
  expect([out, err, document].filter((shown) => shown.includes(secret))).toStrictEqual([]);
});
