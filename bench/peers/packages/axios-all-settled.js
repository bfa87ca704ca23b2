/** All requests at once, as they are often written; the agent has so many connections, and the others wait in it. */
import { Agent } from 'node:http';
import axios from 'axios';
import { ids } from '../contenders/contender.ts';

export const fetchAll = async (task) => {
  const client = axios.create({
    httpAgent: new Agent({ keepAlive: true, maxSockets: task.concurrency }),
    // A proxy of the machine's is for the outside.
    proxy: false,
  });
  const outcomes = await Promise.allSettled(ids(task).map((id) => client.get(task.origin + task.path + id)));
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value.data;
  });
};
