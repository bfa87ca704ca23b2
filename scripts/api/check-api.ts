import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen } from '../../local/world/listen.ts';
import { localBucket, projectDirectory, storeDirectory } from '../../local/world/places.ts';
import { findVirtualEnvironment } from '../virtual-environment.ts';

/** Fewer cases would not tell much. */
const MIN_CASES = 2_000;
/** Of each operation, and of what it is asked for one after the other. */
const EXAMPLES = 300;
const START_MS = 60_000;

/** What stands for a signature of AWS, of which the local API knows nothing. */
const SIGNATURE = 'AWS4-HMAC-SHA256 Credential=check';

/**
 * Has schemathesis ask the API of `npm run offline` what openapi.yaml says that it may be asked, and whatever else it can
 * think of, and hold each reply to that. Before it stands what API Gateway does: no request without a signature gets
 * through. Resolves with whether all is as described, and enough was tried.
 */
async function checkApi(environment: string): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  // Every post is there: one that is missing makes a batch without `returnExceptions` fail by 502, as it should.
  const posts = createServer((incoming, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ path: incoming.url }));
  });
  const { origin: postsOrigin, close: closePosts } = await listen(posts);
  stack.defer(closePosts);

  const [httpPort, lambdaPort] = [await freePort(), await freePort()];
  const prefix = `runs/check-${process.pid}/`;
  stack.defer(() => rm(join(storeDirectory, localBucket, prefix), { recursive: true, force: true }));
  const offline = spawn(
    'serverless',
    ['offline', 'start', '--stage', 'local', '--httpPort', `${httpPort}`, '--lambdaPort', `${lambdaPort}`],
    {
      cwd: projectDirectory,
      env: { ...process.env, POST_URL: `${postsOrigin}/posts/{id}`, RESULTS_PREFIX: prefix },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  stack.defer(() => end(offline));
  const api = `http://127.0.0.1:${httpPort}`;
  await untilAnswered(api, offline);

  const gateway = createServer((incoming, response) => {
    const { method, url, headers } = incoming;
    if (headers.authorization !== SIGNATURE) {
      response.writeHead(403, { 'content-type': 'application/json' }).end('{"message":"Forbidden"}');
      return;
    }
    const outgoing = request(`${api}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  const { origin, close } = await listen(gateway);
  stack.defer(close);

  const { code, cases } = await runSchemathesis(environment, origin);
  if (cases < MIN_CASES) console.error(`Expected at least ${MIN_CASES} cases, got ${cases}`);
  return code === 0 && cases >= MIN_CASES;
}

async function runSchemathesis(
  environment: string,
  origin: string,
): Promise<{ readonly code: number; readonly cases: number }> {
  const args = [
    '--config-file',
    join(import.meta.dirname, 'schemathesis.toml'),
    'run',
    join(projectDirectory, 'openapi.yaml'),
    ...['--url', origin, '--header', `Authorization: ${SIGNATURE}`],
    ...['--max-examples', `${EXAMPLES}`, '--workers', '1', '--continue-on-failure', '--no-color'],
    // No header is required but Authorization, without which this check wants a 401, and API Gateway says 403: the check
    // `ignored_auth` holds the API to that.
    ...['--checks', 'all', '--exclude-checks', 'missing_required_header'],
  ];
  // The script is run by Python, as its first line has the path of the draft of the environment.
  const script = join(environment, 'bin/schemathesis');
  const child = spawn(join(environment, 'bin/python'), [script, ...args], {
    cwd: join(projectDirectory, '.cache'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk;
    process.stdout.write(chunk);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, cases: Number(/(\d+) generated/.exec(printed)?.[1] ?? 0) };
}

async function freePort(): Promise<number> {
  const { origin, close } = await listen(createServer());
  await close();
  return Number(new URL(origin).port);
}

async function untilAnswered(url: string, server: ChildProcess): Promise<void> {
  const endMs = Date.now() + START_MS;
  while (Date.now() < endMs && server.exitCode === null) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer) return;
    await sleep(200);
  }
  throw new Error('serverless offline did not start');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

if (import.meta.main) {
  const environment = await findVirtualEnvironment('schemathesis', 'requirements-api.txt', process.env);
  if (environment !== undefined && !(await checkApi(environment))) process.exitCode = 1;
}
