import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import connectorOf from 'undici/lib/core/connect.js';
import { sharedAfter } from '../../base/alarm.ts';
import type { Clock } from '../../base/clock.ts';
import type { AttemptSettings, RunOrigin } from './attempt.ts';
import { type Lookup, resolveAddresses } from './connecting/addresses.ts';
import { Connections } from './connecting/connections.ts';
import { Connector } from './connecting/connector.ts';
import { LeastLatency } from './connecting/least-latency.ts';
import { fieldsWith, request } from './request.ts';
import type { UrlTemplate } from './url-template.ts';

export interface OriginSettings extends AttemptSettings {
  readonly postUrl: UrlTemplate;
  /** Most connections, and so most requests in flight over HTTP/1.1: an integer ≥ 1. */
  readonly connections: number;
  /** More options for the TLS sockets: a CA, say. @default {} */
  readonly tls?: { readonly ca?: string };
  /**
   * More header fields, such as credentials. They replace the default ones of the same name, and are not sent with the
   * request that follows a redirect.
   * @default {}
   */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface OriginPorts {
  readonly clock: Clock;
  /** Finds the addresses of the origin's host. @default dns.lookup */
  readonly lookup?: Lookup;
}

/** The server that the posts come from, and the connections to it, which outlive a run. */
export interface Origin extends RunOrigin {
  /** Ends the idle connections, and the others when they are done. */
  close(): Promise<void>;
}

/** How long an origin that was seen to send what nobody asked for gets a connection for each request, at least. */
const DISTRUST_MS = 300_000;

/**
 * Opens connections to the origin of `postUrl` as they are needed: HTTP/2 where TLS offers it, else HTTP/1.1 with
 * keep-alive. Bodies are decompressed. Redirects are followed, at most 3, within the origin alone.
 */
export function openOrigin(settings: OriginSettings, { clock, lookup }: OriginPorts): Origin {
  const { postUrl, connections, attemptTimeoutMs, maxBodyBytes, tls = {}, headers = {} } = settings;
  const { origin } = postUrl;
  // It returns its socket, though its type does not say so. Its own timeout is left out: it is a second late.
  const openSocket = connectorOf({ ...tls, timeout: 0 }) as OpenSocket;
  const connector = new Connector<buildConnector.Options>({
    resolve: ({ hostname }, onResolved) => resolveAddresses(hostname, onResolved, lookup),
    open: (target, address, callback) => openSocket({ ...target, hostname: address }, callback),
    isTls: origin.startsWith('https:'),
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
    new Connections(origin, {
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
  /** For the requests that share no connection where the others do: as many as are hedged at once, by the budget. */
  const unshared = open(Math.min(connections, 10 + Math.ceil(connections / 10)), { maxConcurrentStreams: 1 });
  const leastLatency = new LeastLatency();
  const fields = fieldsWith(headers);
  const after = sharedAfter(clock);

  return {
    startRun() {
      const before = unsolicited;
      const mayReuse = (): boolean =>
        unsolicited === 0 || (unsolicited === before && clock.now() >= distrustedUntilMs);
      const way = { origin, fields, after, clock, connector, leastLatency, maxBodyBytes, mayReuse };
      const onShared = { ...way, connections: shared };
      const onUnshared = { ...way, connections: unshared };
      return {
        requestPost(id, timeoutMs, signal, onOtherConnection = false) {
          // Over HTTP/1.1 no request shares a connection.
          const chosen = onOtherConnection && connector.mayShare ? onUnshared : onShared;
          return request(postUrl.pathOf(id), timeoutMs, signal, chosen);
        },
        unsolicited: () => unsolicited - before,
      };
    },
    async close() {
      await Promise.all([shared.close(), unshared.close()]);
    },
  };
}

type OpenSocket = (target: buildConnector.Options, callback: buildConnector.Callback) => Socket;
