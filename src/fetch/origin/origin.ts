import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import connectorOf from 'undici/lib/core/connect.js';
import { onAbort } from '../../base/abort.ts';
import { sharedAfter } from '../../base/alarm.ts';
import type { Clock } from '../../base/clock.ts';
import { type Lookup, resolveAddresses } from './addresses.ts';
import type { AttemptResult, RequestPost, RunOrigin } from './attempt.ts';
import { Connections, LeastLatency } from './connections.ts';
import { Connector } from './connector.ts';
import { Exchange } from './exchange.ts';
import { redirectTarget } from './redirect.ts';
import type { UrlTemplate } from './url-template.ts';

export interface OriginOptions {
  readonly postUrl: UrlTemplate;
  /** Most connections, and so most requests in flight over HTTP/1.1. */
  readonly connections: number;
  readonly attemptTimeoutMs: number;
  /** Most bytes of a body after decompression. */
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  /** More options for the TLS sockets: a CA, say. @default {} */
  readonly tls?: { readonly ca?: string };
  /**
   * More header fields, such as credentials. They replace the default ones of the same name, and are not sent with the
   * request that follows a redirect.
   * @default {}
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Finds the addresses of the origin's host. @default dns.lookup */
  readonly lookup?: Lookup;
}

/** The server that the posts come from, and the connections to it, which outlive a run. */
export interface Origin extends RunOrigin {
  /** Ends the idle connections, and the others when they are done. */
  close(): Promise<void>;
}

/** The project and its version in package.json. */
export const USER_AGENT = 'batch-fetcher/0.1.0';
const MAX_REDIRECTS = 3;
/** How long an origin that was seen to send what nobody asked for gets a connection for each request, at least. */
const DISTRUST_MS = 300_000;

/**
 * Opens connections to the origin of `postUrl` as they are needed: HTTP/2 where TLS offers it, else HTTP/1.1 with
 * keep-alive. Bodies are decompressed. Redirects are followed, at most 3, within the origin alone.
 */
export function openOrigin(options: OriginOptions): Origin {
  const {
    postUrl: url,
    connections,
    attemptTimeoutMs,
    maxBodyBytes,
    clock,
    tls = {},
    headers = {},
    lookup,
  } = options;
  // It returns its socket, though its type does not say so. Its own timeout is left out: it is a second late.
  const openSocket = connectorOf({ ...tls, timeout: 0 }) as OpenSocket;
  const connector = new Connector<buildConnector.Options>({
    resolve: ({ hostname }, onResolved) => resolveAddresses(hostname, onResolved, lookup),
    open: (target, address, callback) => openSocket({ ...target, hostname: address }, callback),
    isTls: url.origin.startsWith('https:'),
    // Later than the attempt that asks for the connection: that has then timed out, and has not failed.
    timeoutMs: attemptTimeoutMs + 1,
    clock,
  });
  let unsolicited = 0;
  let distrustedUntilMs = -Infinity;
  const onUnsolicited = (): void => {
    unsolicited += 1;
    distrustedUntilMs = clock.now() + DISTRUST_MS;
    for (const connections of [shared, unshared]) connections.renew();
  };
  const open = (connections: number, streams: { maxConcurrentStreams?: number } = {}): Connections =>
    new Connections(url.origin, {
      connections,
      connect: connector.connect,
      clock,
      onUnsolicited,
      // The attempt has a clock of its own, which counts connecting and the body as well.
      headersTimeout: 0,
      bodyTimeout: 0,
      // Ending a stream tells nothing of its connection, which many share: one that has died is found out by this.
      h2Options: { pingInterval: Math.ceil(attemptTimeoutMs / 4), ...streams },
    });
  const shared = open(connections);
  /** For the requests that share no connection where the others do. */
  const unshared = open(Math.ceil(connections / 10), { maxConcurrentStreams: 1 });
  const leastLatency = new LeastLatency();
  const firstFields = fieldsWith(headers);
  const after = sharedAfter(clock);

  const requestPost = (
    mayReuse: () => boolean,
    ...[id, timeoutMs, signal, onOtherConnection = false]: Parameters<RequestPost>
  ): Promise<AttemptResult> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      let exchange: Exchange;
      const finish = (attempt: AttemptResult): void => {
        cancelTimer();
        stopListening();
        resolve(attempt);
      };
      const stopListening = onAbort(signal, () => {
        stopListening();
        cancelTimer();
        exchange.abort();
        reject(signal.reason);
      });
      const cancelTimer = after(timeoutMs, () => {
        exchange.abort();
        finish(exchange.answered() ?? TIMED_OUT);
      });

      // Over HTTP/1.1 no request shares a connection.
      const pool = onOtherConnection && connector.mayShare ? unshared : shared;
      const request = (path: string, fields: string[], redirectsLeft: number): void => {
        exchange = new Exchange(
          { path, method: 'GET', headers: fields },
          {
            maxBodyBytes,
            connector,
            connections: pool,
            mayReuse,
            leastLatency,
            clock,
            onEnd: (attempt, location) => {
              if (attempt.kind !== 'response' || location === undefined) return finish(attempt);
              const target = redirectTarget(location, url.origin, path);
              if ('foreign' in target)
                finish({ ...attempt, redirect: `a redirect to another origin (${target.foreign})` });
              else if (redirectsLeft === 0)
                finish({ ...attempt, redirect: `more than ${MAX_REDIRECTS} redirects` });
              else request(target.path, DEFAULT_FIELDS, redirectsLeft - 1);
            },
          },
        );
        exchange.start();
      };
      request(url.pathOf(id), firstFields, MAX_REDIRECTS);
    });

  return {
    startRun() {
      const before = unsolicited;
      const mayReuse = (): boolean => unsolicited === before && clock.now() >= distrustedUntilMs;
      return {
        requestPost: (...request) => requestPost(mayReuse, ...request),
        unsolicited: () => unsolicited - before,
      };
    },
    async close() {
      await Promise.all([shared.close(), unshared.close()]);
    },
  };
}

type OpenSocket = (target: buildConnector.Options, callback: buildConnector.Callback) => Socket;

const TIMED_OUT: AttemptResult = { kind: 'timed-out' };

const DEFAULTS = {
  accept: 'application/json',
  'accept-encoding': 'gzip, br, zstd',
  'user-agent': USER_AGENT,
};
const DEFAULT_FIELDS = fieldsWith({});

/** The header fields of a request: names and values in turn, which costs undici least. */
function fieldsWith(headers: Readonly<Record<string, string>>): string[] {
  const fields = new Map(Object.entries(DEFAULTS));
  for (const [name, value] of Object.entries(headers)) fields.set(name.toLowerCase(), value);
  return [...fields].flat();
}
