import { once } from 'node:events';
import {
  createSecureServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificate } from './certificate.ts';

interface Http2Server {
  readonly origin: string;
  readonly port: number;
  stop(): Promise<void>;
}

interface ObservedHttp2Server extends Http2Server {
  readonly requests: readonly IncomingHttpHeaders[];
  readonly sessions: readonly Http2Session[];
}

/** A server on 127.0.0.1 that speaks HTTP/2 over TLS alone. `index` counts the requests. */
export async function startHttp2Server(
  tls: Certificate,
  onStream: (stream: ServerHttp2Stream, path: string, index: number) => void,
): Promise<ObservedHttp2Server> {
  const requests: IncomingHttpHeaders[] = [];
  const sessions: Http2Session[] = [];
  const server = createSecureServer({ ...tls, allowHTTP1: false });
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, String(headers[':path']), requests.push(headers) - 1);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A server for net has that address.
  const { port } = server.address() as AddressInfo;
  return {
    origin: `https://127.0.0.1:${port}`,
    port,
    requests,
    sessions,
    async stop() {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a server sends on a stream, frame by frame (RFC 9113, 6). */
export const http2Frames = {
  /** The headers of an answer 200, with a Content-Length where one is given. */
  headers: (stream: number, contentLength?: number): Buffer => {
    // HPACK (RFC 7541): 0x88 is `:status: 200`, 0x0f 0x0d a literal `content-length`.
    const length =
      contentLength === undefined
        ? []
        : [0x0f, 0x0d, `${contentLength}`.length, ...Buffer.from(`${contentLength}`)];
    return frame(1, 4, stream, Buffer.from([0x88, ...length]));
  },
  data: (stream: number, text: string): Buffer => frame(0, 0, stream, Buffer.from(text)),
  /** The end of a body. */
  end: (stream: number): Buffer => frame(0, 1, stream),
  reset: (stream: number, code: number): Buffer => frame(3, 0, stream, integers(code)),
  /** `debug`: what the server says to it. */
  goAway: (lastStream: number, code: number, debug = ''): Buffer =>
    frame(7, 0, 0, Buffer.concat([integers(lastStream, code), Buffer.from(debug)])),
};

/** A server that answers each request with the frames that `answer` gives, and ends the connection on 'end'. */
export async function startRawHttp2Server(
  certificate: Certificate,
  answer: (stream: number, index: number) => readonly (Buffer | 'end')[],
): Promise<Http2Server> {
  const sockets: Socket[] = [];
  let requests = 0;
  const server = createTlsServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(frame(4, 0, 0));
    let bytes = Buffer.alloc(0);
    let read = PREFACE_BYTES;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= read + 9) {
        const length = bytes.readUIntBE(read, 3);
        if (bytes[read + 3] === 1)
          for (const step of answer(bytes.readUInt32BE(read + 5), requests++))
            if (step === 'end') socket.end();
            else socket.write(step);
        read += 9 + length;
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A server for net has that address.
  const { port } = server.address() as AddressInfo;
  return {
    origin: `https://127.0.0.1:${port}`,
    port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** `PRI * HTTP/2.0…`, which each client sends first. */
const PREFACE_BYTES = 24;

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function integers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}
