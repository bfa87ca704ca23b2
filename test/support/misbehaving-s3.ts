import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** The operations of S3 that a run store uses, by the names that the SDK has for them. */
export type S3Operation =
  | 'GetObject'
  | 'HeadObject'
  | 'ListObjectsV2'
  | 'PutObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload';

/** The same of claims, which go out side by side with others. */
type ClaimOperation = 'GetClaim' | 'PutClaim';

/** One request, its body read, and all that may be done with it. */
interface S3Exchange {
  /** Of the request. */
  readonly headers: IncomingMessage['headers'];
  /** Asks the store behind. Undefined where the client has gone in the meantime: then nobody asked. */
  forward(): Promise<S3Answer | undefined>;
  answer(answer: S3Answer): void;
  /** Sends the answer up to so many bytes of its body, of which more may be sent later. */
  answerUpTo(bytes: number, answer: S3Answer): Promise<void>;
  /** Resolves when the client has gone. */
  readonly gone: Promise<unknown>;
  /** Ends the connection with a reset. */
  reset(): void;
  /** Ends the connection as if there were no more to send. */
  end(): void;
}

interface S3Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** What is done with a request instead of passing it on. */
export type S3Fault = (exchange: S3Exchange) => void | Promise<void>;

export interface MisbehavingS3 {
  /** For the SDK: `http://127.0.0.1:<port>`. */
  readonly endpoint: string;
  /**
   * The operations that were asked for since the last `behave`, each try by itself; ranges as `GetObject bytes=-5`.
   * Those of claims stand apart.
   */
  readonly operations: readonly string[];
  readonly claimOperations: readonly ClaimOperation[];
  /** How many requests have neither their whole answer nor been left by the client. */
  readonly open: number;
  /** Does these with the next requests of an operation, one each. */
  next(operation: S3Operation | ClaimOperation, ...faults: readonly S3Fault[]): void;
  /** Does this with every request of an operation from now on. */
  always(operation: S3Operation | ClaimOperation, fault: S3Fault): void;
  /** Passes everything on again, and forgets the operations so far. */
  behave(): void;
  /** Resolves once an operation has been asked for `count` times. */
  asked(operation: S3Operation | ClaimOperation, count?: number): Promise<void>;
  stop(): Promise<void>;
}

/** What AWS may put into the message of a refusal, and no reply may hand on. */
export const POLICY_TEXT =
  'User: arn:aws:sts::123456789012:assumed-role/fetch is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::results/runs/x.json" with an explicit deny in a resource-based policy';

/** An error in S3's XML. */
export function s3Error(status: number, code: string, message = `The message of ${code}`): S3Fault {
  const body = Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message.replaceAll('"', '&quot;')}</Message><RequestId>r</RequestId></Error>`,
  );
  return ({ answer }) => answer({ status, headers: { 'content-type': 'application/xml' }, body });
}

/** An answer as no S3 gives it: a proxy's, say. */
export function status(code: number, text = ''): S3Fault {
  return ({ answer }) => answer({ status: code, headers: {}, body: Buffer.from(text) });
}

export const slowDown: S3Fault = s3Error(503, 'SlowDown');
export const internalError: S3Fault = s3Error(500, 'InternalError');
export const accessDenied: S3Fault = s3Error(403, 'AccessDenied', POLICY_TEXT);
export const conflict: S3Fault = s3Error(409, 'ConditionalRequestConflict');
export const operationAborted: S3Fault = s3Error(409, 'OperationAborted');
export const noSuchUpload: S3Fault = s3Error(404, 'NoSuchUpload');
export const noSuchBucket: S3Fault = s3Error(404, 'NoSuchBucket');
export const reset: S3Fault = (exchange) => exchange.reset();

/** The store does what it is asked, and the client never hears of it. */
export const loseAnswer: S3Fault = async (exchange) => {
  await exchange.forward();
  exchange.reset();
};

/** The connection breaks in the middle of the answer's body. */
export const cutShort: S3Fault = async (exchange) => {
  await answerHalf(exchange);
  exchange.reset();
};

/** The connection ends in the middle of the answer's body. */
export const endEarly: S3Fault = async (exchange) => {
  await answerHalf(exchange);
  exchange.end();
};

/** Nothing comes any more in the middle of the answer's body. */
export const stall: S3Fault = async (exchange) => {
  await answerHalf(exchange);
  await exchange.gone;
};

async function answerHalf({ forward, answerUpTo }: S3Exchange): Promise<void> {
  const answer = await forward();
  if (answer) await answerUpTo(answer.body.length / 2, answer);
}

/** No fault at all. */
export const passOn: S3Fault = async ({ forward, answer }) => {
  const answered = await forward();
  if (answered) answer(answered);
};

/** Waits for `released` before it asks the store; not longer than the client waits. */
export function hold(released: Promise<unknown>): S3Fault {
  return async (exchange) => {
    await Promise.race([released, exchange.gone]);
    await passOn(exchange);
  };
}

/** A proxy on 127.0.0.1 before an S3 store, which passes requests on unless it was told to misbehave. */
export async function startMisbehavingS3(storeEndpoint: string): Promise<MisbehavingS3> {
  const faults = new Map<S3Operation | ClaimOperation, S3Fault[]>();
  const constant = new Map<S3Operation | ClaimOperation, S3Fault>();
  const waiting = new Set<() => void>();
  const asked = new Map<S3Operation | ClaimOperation, number>();
  let operations: string[] = [];
  let claimOperations: ClaimOperation[] = [];

  let open = 0;

  const server = createServer((incoming, response) => {
    void serve(incoming, response);
  });
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const claimOperation = claimOperationOf(incoming);
    const operation = claimOperation ?? operationOf(incoming);
    open += 1;
    response.once('close', () => {
      open -= 1;
    });
    let sent = 0;
    if (claimOperation) claimOperations.push(claimOperation);
    else operations.push(incoming.headers.range ? `${operation} ${incoming.headers.range}` : operation);
    asked.set(operation, (asked.get(operation) ?? 0) + 1);
    const fault = faults.get(operation)?.shift() ?? constant.get(operation) ?? passOn;
    for (const check of waiting) check();
    try {
      const body = await buffer(incoming);
      await fault({
        headers: incoming.headers,
        forward: async () => (response.destroyed ? undefined : forward(storeEndpoint, incoming, body)),
        answer: ({ status, headers, body }) => {
          // A HEAD has the length of what it does not send.
          const length = operation === 'HeadObject' ? {} : { 'content-length': body.length };
          response.writeHead(status, { ...headers, ...length }).end(body);
        },
        answerUpTo: (bytes, { status, headers, body }) => {
          if (sent === 0) response.writeHead(status, { ...headers, 'content-length': body.length });
          const more = body.subarray(sent, bytes);
          sent += more.length;
          return new Promise((resolve) => response.write(more, () => resolve()));
        },
        gone: new Promise((resolve) => response.once('close', resolve)),
        reset: () => incoming.socket.resetAndDestroy(),
        end: () => incoming.socket.end(),
      });
    } catch {
      // The client went away while its request was read, or the store was stopped.
      response.destroy();
    }
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    // A server for TCP has that address.
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get operations() {
      return operations;
    },
    get claimOperations() {
      return claimOperations;
    },
    get open() {
      return open;
    },
    next: (operation, ...more) => faults.set(operation, [...(faults.get(operation) ?? []), ...more]),
    always: (operation, fault) => constant.set(operation, fault),
    behave() {
      faults.clear();
      constant.clear();
      asked.clear();
      operations = [];
      claimOperations = [];
    },
    asked: (operation, count = 1) =>
      new Promise((resolve) => {
        const check = (): void => {
          if ((asked.get(operation) ?? 0) < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function claimOperationOf({ method, url = '' }: IncomingMessage): ClaimOperation | undefined {
  if (!/\.progress\.json(\?|$)/.test(url)) return undefined;
  return method === 'PUT' ? 'PutClaim' : 'GetClaim';
}

function operationOf({ method, url = '' }: IncomingMessage): S3Operation {
  const query = new URLSearchParams(url.split('?')[1]);
  switch (method) {
    case 'PUT':
      return query.has('partNumber') ? 'UploadPart' : 'PutObject';
    case 'POST':
      return query.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload';
    case 'DELETE':
      return 'AbortMultipartUpload';
    case 'HEAD':
      return 'HeadObject';
    default:
      return query.has('list-type') ? 'ListObjectsV2' : 'GetObject';
  }
}

async function forward(endpoint: string, incoming: IncomingMessage, body: Buffer): Promise<S3Answer> {
  const { expect: _, ...headers } = incoming.headers;
  const outgoing = request(`${endpoint}${incoming.url}`, { method: incoming.method, headers });
  outgoing.end(body);
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  // It comes whole, with a length of its own.
  const { 'transfer-encoding': _chunked, connection: _connection, ...answered } = answer.headers;
  return { status: answer.statusCode ?? 500, headers: answered, body: await buffer(answer) };
}
