/** p-map over the fetch that comes with Node, which keeps connections alive by itself. */
import pMap from 'p-map';
import { ids } from '../contenders/contender.ts';

export const fetchAll = (task) =>
  pMap(
    ids(task),
    async (id) => {
      const response = await fetch(task.origin + task.path + id);
      if (!response.ok) throw new Error(`Post ${id} answered HTTP ${response.status}`);
      return response.json();
    },
    { concurrency: task.concurrency },
  );
