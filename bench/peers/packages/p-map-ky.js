/** p-map over ky, which rides on the fetch that comes with Node. */
import ky from 'ky';
import pMap from 'p-map';
import { ids } from '../contenders/contender.ts';

export const fetchAll = (task) =>
  pMap(ids(task), (id) => ky(task.origin + task.path + id).json(), { concurrency: task.concurrency });
