import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { fileOf, parameterDirectory, projectDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';

test('invoke local sends the headers of a local parameter to the origin, and shows them nowhere', {
  timeout: 60_000,
}, async () => {
  const secret = `Bearer ${randomUUID()}`;
  const received: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    received.push(request.headers.authorization);
    response.writeHead(500).end(secret);
  });
  const { origin, close } = await listen(server);

  const name = `test-${randomUUID()}`;
  const parameter = join(parameterDirectory, `${name}.json`);
  await mkdir(join(parameter, '..'), { recursive: true });
  await writeFile(parameter, JSON.stringify({ Authorization: secret }));

  const args = ['invoke', 'local', '-f', 'fetch', '--stage', 'local', '-d', '{"ids":[1,2]}'];
  const child = spawn('npx', ['serverless', ...args], {
    cwd: projectDirectory,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      NO_COLOR: '1',
      POST_URL: `${origin}/{id}`,
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
  await close();
  await rm(parameter);

  const { location, summary } = JSON.parse(out) as { location: string; summary: { rejected: number } };
  const document = await readFile(fileOf(location), 'utf8');
  removeObject(location);

  expect([code, summary.rejected, received]).toStrictEqual([0, 2, [secret, secret]]);
  expect([out, err, document].filter((shown) => shown.includes(secret))).toStrictEqual([]);
});
