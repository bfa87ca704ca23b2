/** p-map over got, with an agent that keeps its connections. */
import { Agent } from 'node:http';
import got from 'got';
import pMap from 'p-map';
import { ids } from '../contenders/contender.ts';

export const fetchAll = (task) => {
  const agent = { http: new Agent({ keepAlive: true, maxSockets: task.concurrency }) };
  return pMap(ids(task), (id) => got(task.origin + task.path + id, { agent }).json(), {
    concurrency: task.concurrency,
  });
};
