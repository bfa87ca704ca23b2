import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './certificate.ts';
import { eventually } from './eventually.ts';

/** A request as it came in. */
export interface RawRequest {
  /** Path and query. */
  readonly path: string;
  /** The request line and the header lines. */
  readonly head: string;
  readonly socket: Socket;
  /** Which of the server's connections it came on, from 0. */
  readonly connection: number;
}

export interface MisbehavingServer {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly requests: readonly RawRequest[];
  /** Connections so far. */
  readonly connections: number;
  /** Connections that are open now. */
  readonly open: number;
  /** The bytes that were sent on all connections, with those that still wait in the kernel. */
  readonly bytesSent: number;
  /** Resolves once there have been `count` connections. */
  connected(count: number): Promise<void>;
  /** Resolves once `count` requests have come. */
  requested(count: number): Promise<void>;
  /** Resolves once the clients, here and without TLS, have read all that was sent on the connections that are open. */
  taken(): Promise<void>;
  /** Resolves once no connection is open. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

interface MisbehavingServerOptions {
  /** Speaks HTTPS, without HTTP/2. */
  readonly tls?: Certificate;
  /** Called for each connection. */
  readonly onConnection?: (socket: Socket) => void;
}

const newClients = channel('net.client.socket');

/**
 * A server on 127.0.0.1 that does with the socket of each request whatever `onRequest` says, down to the byte:
 * half an answer, none, a reset. `index` counts the requests.
 */
export async function startMisbehavingServer(
  onRequest: (request: RawRequest, index: number) => void,
  { tls, onConnection }: MisbehavingServerOptions = {},
): Promise<MisbehavingServer> {
  const requests: RawRequest[] = [];
  const sockets: Socket[] = [];
  const open = new Set<Socket>();
  /** Of all servers here: which of them it is for, a client knows when it is connected. */
  const clients: Socket[] = [];
  const onClient = (message: unknown): void => {
    // Node has it so.
    clients.push((message as { socket: Socket }).socket);
  };
  newClients.subscribe(onClient);
  const hasTaken = (socket: Socket): boolean =>
    socket.bytesWritten === 0 ||
    clients.some(
      ({ localPort, bytesRead }) => localPort === socket.remotePort && bytesRead === socket.bytesWritten,
    );
  const waiting = new Set<() => void>();
  const changed = (): void => {
    for (const check of waiting) check();
  };
  const until = (isTrue: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!isTrue()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });

  const onSocket = (socket: Socket): void => {
    const connection = sockets.push(socket) - 1;
    open.add(socket);
    // Resets are what these tests are about.
    socket.on('error', () => {});
    socket.on('close', () => {
      open.delete(socket);
      changed();
    });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        const request = { path: head.split(' ')[1] ?? '', head, socket, connection };
        onRequest(request, requests.push(request) - 1);
      }
      changed();
    });
    onConnection?.(socket);
    changed();
  };
  const server = tls
    ? createTlsServer({ ...tls, ALPNProtocols: ['http/1.1'] }, onSocket)
    : createServer(onSocket);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A server for net has that address.
  const { port } = server.address() as AddressInfo;

  return {
    origin: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    get connections() {
      return sockets.length;
    },
    get open() {
      return open.size;
    },
    get bytesSent() {
      return sockets.reduce((sum, socket) => sum + socket.bytesWritten - socket.writableLength, 0);
    },
    connected: (count) => until(() => sockets.length >= count),
    requested: (count) => until(() => requests.length >= count),
    taken: () => eventually(() => [...open].every(hasTaken)),
    idle: () => until(() => open.size === 0),
    async stop() {
      newClients.unsubscribe(onClient);
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The bytes of an HTTP/1.1 response, with a Content-Length that is right unless `headers` name another. */
export function httpResponse(
  status: number,
  body: string | Buffer = '',
  headers: Readonly<Record<string, string | number>> = {},
): Buffer {
  const all = { 'content-length': Buffer.byteLength(body), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} Status\r\n${lines.join('')}\r\n`),
    Buffer.from(body),
  ]);
}
