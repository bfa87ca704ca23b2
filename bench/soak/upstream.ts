import type { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { httpResponse, startMisbehavingServer } from '../../test/support/misbehaving-server.ts';
import { faultOf, postOf } from './faults.ts';

/* The origin of the soak, in a thread of its own: `workerData` is the seed. Tells its origin, and what it met. */
const times = new Map<number, number>();
const ending = new WeakSet<Socket>();
const met: Record<string, number> = {};
let requests = 0;

const server = await startMisbehavingServer(({ path, socket }) => {
  // It came after the end of its connection, or just before, and will never be answered.
  if (socket.writableEnded || socket.destroyed || ending.has(socket)) return;
  requests += 1;
  if (path === '/loop') return void socket.write(httpResponse(302, '', { location: '/loop' }));
  const id = Number(path.slice(path.lastIndexOf('/') + 1));
  const time = (times.get(id) ?? 0) + 1;
  times.set(id, time);
  const fault = faultOf(Number(workerData), id, time);
  if (!fault) return void socket.write(httpResponse(200, postOf(id)));
  met[fault.name] = (met[fault.name] ?? 0) + 1;
  if (fault.endsConnection) ending.add(socket);
  fault.answer(socket, id);
});
parentPort?.on('message', () => parentPort?.postMessage({ requests, met, open: server.open }));
parentPort?.postMessage(server.origin);
