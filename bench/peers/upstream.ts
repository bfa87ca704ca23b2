import { execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { POST_TAIL, postHead } from '../support/post.ts';

/** A posts API on 127.0.0.1, in a process of its own: `/<bytes>/posts/<id>`. */
export interface Upstream {
  /** What it is, for the reader. */
  readonly name: string;
  readonly origin: string;
  close(): Promise<void>;
}

const MOST_DIGITS = 7;
const FILLER_BYTES = 1_000;
/** A variable of nginx, in braces as text may follow it. */
const FILLER = '$' + '{filler}';

/** nginx where there is one, else Node. `sizes` are those that it serves; `directory` is for nginx's own files. */
export async function startUpstream(directory: string, sizes: readonly number[]): Promise<Upstream> {
  for (const program of ['nginx', '/usr/sbin/nginx']) {
    const version = await nginxVersion(program);
    if (version) return startNginx(program, version, directory, sizes);
  }
  console.log(
    'No nginx (Debian: nginx-light): Node serves the posts, and is slower than the fastest contenders.',
  );
  return startNodeOrigin();
}

/** The origin of origin.ts, which can be late. */
export async function startNodeOrigin(): Promise<Upstream> {
  const child = fork(join(import.meta.dirname, 'origin.ts'));
  const exited = once(child, 'exit');
  const [port] = await Promise.race([once(child, 'message'), exited.then(failedToStart)]);
  return {
    name: `Node ${process.version}, its http server`,
    origin: `http://127.0.0.1:${port}`,
    async close() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function nginxVersion(program: string): Promise<string | undefined> {
  try {
    const { stderr } = await promisify(execFile)(program, ['-v']);
    return /nginx\/(\S+)/.exec(stderr)?.[1];
  } catch {
    return undefined;
  }
}

async function startNginx(
  program: string,
  version: string,
  directory: string,
  sizes: readonly number[],
): Promise<Upstream> {
  const port = await freePort();
  const config = join(directory, 'nginx.conf');
  await writeFile(config, nginxConfig(directory, port, sizes));
  const child = spawn(program, ['-p', directory, '-c', config, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    // A fast shutdown, of the worker as well.
    child.kill('SIGTERM');
    await exited;
  };
  try {
    await Promise.race([answers(`${origin}/${sizes[0]}/posts/1`), exited.then(failedToStart)]);
  } catch (error) {
    await close();
    throw error;
  }
  return { name: `nginx ${version}, one worker`, origin, close };
}

/** nginx takes no port 0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Has nginx answer with what `postOf` of support/post.ts makes. */
function nginxConfig(directory: string, port: number, sizes: readonly number[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(directory, kind)};`,
  );
  const digits = Array.from({ length: MOST_DIGITS }, (_, index) => index + 1);
  // The body is as long whatever the id: a location for each number of digits. Text in a configuration is limited to
  // 4 KB, so that the longer part of a long one is a variable's value, several times.
  const locations = sizes.flatMap((bytes) =>
    digits.map((count) => {
      const fill = bytes - postHead('').length - count - POST_TAIL.length;
      const filler = FILLER.repeat(fill / FILLER_BYTES) + 'x'.repeat(fill % FILLER_BYTES);
      return `location ~ "^/${bytes}/posts/(\\d{${count}})$" { return 200 '${postHead('$1')}${filler}${POST_TAIL}'; }`;
    }),
  );
  return `
daemon off;
pid ${join(directory, 'nginx.pid')};
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  server {
    listen 127.0.0.1:${port};
    set $filler ${'x'.repeat(FILLER_BYTES)};
    ${locations.join('\n    ')}
  }
}
`;
}

async function answers(url: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return void (await response.text());
    await sleep(50);
  }
  throw new Error(`Expected an answer from ${url} within 5 s`);
}

function failedToStart(): never {
  throw new Error('The upstream ended before it could be used');
}
