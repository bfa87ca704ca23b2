import { outcomeVariable } from '../base/colours.ts';
import { foreign } from '../base/element.ts';
import { formatCount, formatMs, formatNumberOf } from '../base/format.ts';
import type { Details } from '../charts/tooltip.ts';
import { indexOf, isTakenOver, type Posts } from '../rows/posts.ts';
import type { Level } from '../rows/pyramid.ts';

/** What is known of one post. */
export function describePost(posts: Posts, row: number): Details {
  const { columns } = posts;
  const code = posts.outcomes[posts.outcome[row] ?? 0] ?? '';
  const status = columns.httpStatus[row] ?? 0;
  const started = columns.startedMs[row] ?? -1;
  const duration = columns.durationMs[row] ?? -1;
  const waited = columns.waitedMs[row] ?? -1;
  const message = messageOf(posts, row);
  return {
    title: foreign(`Post ${columns.id[row]}`),
    colour: outcomeVariable(code),
    pairs: [
      ['Index', formatCount(indexOf(posts, row))],
      ['Outcome', code],
      ...(status > 0 ? [['HTTP status', `${status}`] as const] : []),
      ['Attempts', `${formatCount(columns.attempts[row] ?? 0)}${posts.marked[row] === 1 ? ', hedged' : ''}`],
      ...(started < 0 ? [] : [['Start', formatMs(started)] as const]),
      ...(isTakenOver(posts, row) ? [['Start', 'in an earlier run'] as const] : []),
      ...(duration < 0 ? [] : [['Took', formatMs(duration)] as const]),
      ...(waited >= 0 ? [['Waited', formatMs(waited)] as const] : []),
    ],
    ...(message !== undefined && { message: foreign(message) }),
  };
}

/** The same in a sentence. */
export function sayPost(posts: Posts, row: number): string {
  const { title, pairs, message } = describePost(posts, row);
  const said = pairs.map(([name, value]) => `${name} ${value}`).join(', ');
  const text = typeof title === 'string' ? title : title.textContent;
  return `${text}: ${said}.${message ? ` ${message.textContent}` : ''}`;
}

/** What several posts come to. */
export function describePosts(
  posts: Posts,
  [first, end]: readonly [first: number, end: number],
  level: Level,
  group: number,
): Details {
  const { outcomes } = posts;
  const counts = outcomes
    .map((name, outcome) => [name, level.outcomes[group * outcomes.length + outcome] ?? 0] as const)
    .filter(([, count]) => count > 0);
  const attempted = level.attempted[group] ?? 0;
  return {
    title: `Posts ${formatCount(indexOf(posts, first))}–${formatCount(indexOf(posts, end - 1))}`,
    colour: outcomeVariable(outcomes[level.top[group] ?? 0] ?? ''),
    pairs: [
      ...counts.map(([name, count]) => [name, formatNumberOf(count, 'post')] as const),
      ...(Number.isFinite(level.firstMs[group])
        ? ([
            ['First start', formatMs(level.firstMs[group] ?? 0)],
            ['Last end', formatMs(level.lastMs[group] ?? 0)],
          ] as const)
        : []),
      ...(attempted > 0
        ? [
            [
              'Took on average',
              formatMs(((level.endMs[group] ?? 0) - (level.startMs[group] ?? 0)) / attempted),
            ] as const,
          ]
        : []),
    ],
  };
}

/** Why a post was rejected; undefined where it was not. */
export function messageOf({ columns, rejection }: Posts, row: number): string | undefined {
  return columns.messages[rejection[row] ?? -1];
}
