import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

/** How an invocation ended, as Lambda would tell its caller. */
type Invocation =
  | { readonly response: unknown }
  | { readonly error: string; readonly errorType: string }
  | { readonly timedOut: string }
  | { readonly exited: string };

interface InvokeOptions {
  /** The function's timeout, counted from when its process takes the event. @default 10_000 */
  readonly timeoutMs?: number;
  /** Lambda's own retries keep it. @default a new UUID */
  readonly requestId?: string;
}

export interface RuntimeApiOptions {
  /** Starts the runtime interface client. */
  readonly command: readonly [string, ...string[]];
  /** The folder of the deployed code. */
  readonly taskRoot: string;
  /** @default 'handler.handler' */
  readonly handler?: string;
  /** The function's own variables: beside Lambda's, its process has no others. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** One execution environment of Lambda: a process that serves one invocation at a time. */
export interface RuntimeApi {
  /** Starts the process where none is running. Rejects while another invocation is under way. */
  invoke(event: unknown, options?: InvokeOptions): Promise<Invocation>;
  /** How many processes have been started: cold starts. */
  starts(): number;
  /** Errors that a process reported from its start-up, before it took any event. */
  initErrors(): readonly unknown[];
  /** All that the processes wrote to stdout and stderr. */
  log(): string;
  /** Stops the process as Lambda does between invocations; the next `invoke` lets it go on. */
  freeze(): void;
  /** What keeps the event loop of the process alive, in the words of `process.getActiveResourcesInfo`. */
  activeResources(): Promise<readonly string[]>;
  /** Resolves when the process is dead and the port is free again. */
  close(): Promise<void>;
}

interface Current {
  readonly requestId: string;
  readonly event: unknown;
  readonly timeoutMs: number;
  readonly settle: (invocation: Invocation) => void;
  timer: NodeJS.Timeout;
  delivered: boolean;
  /** What the end of the process means, where that is known before it ends. */
  verdict?: Invocation;
}

const initTimeoutMs = 10_000;
const functionArn = 'arn:aws:lambda:eu-central-1:123456789012:function:batch-fetcher';

// Once the event loop has turned a hundred times: what is about to end by itself has done so, on a busy machine too.
// On stderr, since the runtime interface client replaces the console's methods.
const reportResources = `data:text/javascript,${encodeURIComponent(`
  process.on('SIGUSR2', () => {
    let turns = 100;
    const turn = () => {
      if (turns-- > 0) return setImmediate(turn);
      process.stderr.write('active:' + JSON.stringify(process.getActiveResourcesInfo()) + '\\n');
    };
    turn();
  });
`)}`;

/** Serves Lambda's Runtime API on 127.0.0.1 to one process at a time, which it starts, times and kills. */
export async function startRuntimeApi({
  command: [file, ...args],
  taskRoot,
  handler = 'handler.handler',
  env = {},
}: RuntimeApiOptions): Promise<RuntimeApi> {
  let runtime: ChildProcess | undefined;
  let poll: ServerResponse | undefined;
  let current: Current | undefined;
  let starts = 0;
  let log = '';
  const listeners = new Set<() => void>();
  const initErrors: unknown[] = [];

  const server = createServer((request, response) => {
    route(request, response).catch((error: unknown) => {
      response.writeHead(400).end(String(error));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is no string

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, subject = '', id = ''] =
      /^\/2018-06-01\/runtime\/(invocation\/next|init\/error|invocation\/([^/]+)\/(?:response|error))$/.exec(
        request.url ?? '',
      ) ?? [];
    if (request.method === 'GET' && subject === 'invocation/next') {
      poll = response;
      deliver();
      return;
    }
    if (request.method !== 'POST' || subject === '') {
      response.writeHead(404).end();
      return;
    }
    const body = await json(request);
    if (subject === 'init/error') {
      initErrors.push(body);
      if (current) current.verdict = errorOf(body);
    } else if (current?.requestId === id) {
      settle(subject.endsWith('/error') ? errorOf(body) : { response: body });
    } else {
      response.writeHead(400).end(`Expected the invocation ${current?.requestId}, got ${id}`);
      return;
    }
    response.writeHead(202, { 'content-type': 'application/json' }).end('{"status":"OK"}');
  }

  function deliver(): void {
    if (!poll || !current || current.delivered) return;
    const { requestId, event, timeoutMs } = current;
    poll
      .writeHead(200, {
        'content-type': 'application/json',
        'lambda-runtime-aws-request-id': requestId,
        'lambda-runtime-deadline-ms': String(Date.now() + timeoutMs),
        'lambda-runtime-invoked-function-arn': functionArn,
        'lambda-runtime-trace-id': `Root=1-${randomBytes(4).toString('hex')}-${randomBytes(12).toString('hex')};Sampled=0`,
      })
      .end(JSON.stringify(event));
    poll = undefined;
    current.delivered = true;
    clearTimeout(current.timer);
    const seconds = (timeoutMs / 1000).toFixed(2);
    current.timer = killAfter(
      timeoutMs,
      `RequestId: ${requestId} Error: Task timed out after ${seconds} seconds`,
    );
  }

  // Lambda takes the whole environment away with the process: no handler of the function's gets to run.
  function killAfter(ms: number, timedOut: string): NodeJS.Timeout {
    return setTimeout(() => {
      if (current) current.verdict = { timedOut };
      runtime?.kill('SIGKILL');
    }, ms);
  }

  function settle(invocation: Invocation): void {
    clearTimeout(current?.timer);
    current?.settle(invocation);
    current = undefined;
  }

  function start(): ChildProcess {
    starts += 1;
    const child = spawn(file, ['--import', reportResources, ...args, handler], {
      cwd: taskRoot,
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        LANG: 'en_US.UTF-8',
        TZ: ':UTC',
        _HANDLER: handler,
        LAMBDA_TASK_ROOT: taskRoot,
        AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
        AWS_LAMBDA_RUNTIME_API: address,
        AWS_LAMBDA_FUNCTION_NAME: 'batch-fetcher',
        AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
        AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
        AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/batch-fetcher',
        AWS_LAMBDA_LOG_STREAM_NAME: '2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef',
        AWS_REGION: 'eu-central-1',
        AWS_DEFAULT_REGION: 'eu-central-1',
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_SESSION_TOKEN: 'test',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (chunk: Buffer): void => {
      log += chunk.toString();
      for (const listener of listeners) listener();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    // `close` and not `exit`: by then the last of its log has been read.
    child.once('close', (code, signal) => {
      runtime = undefined;
      poll = undefined;
      if (!current) return;
      const status = signal === null ? `exit status ${code}` : `signal: ${signal}`;
      const exited = `RequestId: ${current.requestId} Error: Runtime exited with error: ${status}`;
      settle(current.verdict ?? { exited });
    });
    return child;
  }

  return {
    invoke: (event, { timeoutMs = 10_000, requestId = randomUUID() } = {}) =>
      new Promise((resolve, reject) => {
        if (current) {
          reject(new Error(`Expected no invocation under way, got ${current.requestId}`));
          return;
        }
        const timer = killAfter(
          initTimeoutMs,
          `INIT_REPORT Phase: init Status: timeout after ${initTimeoutMs} ms`,
        );
        current = { requestId, event, timeoutMs, settle: resolve, timer, delivered: false };
        runtime ??= start();
        runtime.kill('SIGCONT');
        deliver();
      }),
    starts: () => starts,
    initErrors: () => initErrors,
    log: () => log,
    freeze: () => {
      runtime?.kill('SIGSTOP');
    },
    activeResources: async () => {
      if (!runtime) throw new Error('Expected a process that is running');
      const before = log.length;
      runtime.kill('SIGUSR2');
      return new Promise((resolve) => {
        const listener = (): void => {
          const [, report] = /^active:(.*)\n/m.exec(log.slice(before)) ?? [];
          if (report === undefined) return;
          listeners.delete(listener);
          resolve(JSON.parse(report));
        };
        listeners.add(listener);
      });
    },
    close: async () => {
      if (runtime) {
        const closed = once(runtime, 'close');
        runtime.kill('SIGKILL');
        await closed;
      }
      server.close();
      server.closeAllConnections();
    },
  };
}

function errorOf(body: unknown): Invocation {
  const { errorMessage, errorType } = Object(body);
  return { error: String(errorMessage), errorType: String(errorType) };
}
