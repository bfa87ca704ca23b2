import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that listens on this machine alone. */
export interface Listening {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** Resolves when the port is free again; idle and busy connections are cut. */
  close(): Promise<void>;
}

/** Has a server listen on a port, or on any that is free. Rejects where the port is taken. */
export async function listen(server: Server, port = 0): Promise<Listening> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server has no other kind
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
