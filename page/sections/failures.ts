import { copyButton, relabel } from '../base/clipboard.ts';
import { element, foreign } from '../base/element.ts';
import { formatCount, formatMs, formatNumberOf } from '../base/format.ts';
import type { OutcomeFilter } from '../rows/outcome-filter.ts';
import { indexOf, type Posts } from '../rows/posts.ts';
import { messageOf } from './describe-post.ts';
import { dotOf, type OutcomeCount, outcomeButtons } from './outcome-buttons.ts';
import { type Column, compareIds, PagedTable } from './paged-table.ts';

/** The failed posts of a run: to be searched, sorted, narrowed down, copied and gone to. */
export function failuresTable(
  posts: Posts,
  counts: readonly OutcomeCount[],
  filter: OutcomeFilter,
  goTo: (row: number) => void,
): { readonly elements: readonly HTMLElement[]; readonly table: PagedTable } {
  const table = new PagedTable({
    caption: 'Failed posts',
    columns: columnsOf(posts, goTo),
    rows: posts.rejected,
    empty: 'No failed post is like that.',
    rowName: 'failed posts',
    onRow: goTo,
  });
  const search = element('input', {
    type: 'search',
    id: 'search',
    placeholder: 'id, code or message',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const clear = element('button', { type: 'button', class: 'button', hidden: true }, 'Clear');
  const copyShown = copyButton('', '', () => JSON.stringify(idsOf(posts, table.rows)));
  const copyAll = copyButton(
    'Copy all ids',
    `Copy all ids of ${formatNumberOf(posts.rejected.length, 'failed post')}`,
    () => JSON.stringify(idsOf(posts, posts.rejected)),
  );
  const said = element('p', { class: 'said', role: 'status' });
  const text = searchText(posts);
  const refresh = () => {
    const wanted = search.value.trim().toLowerCase();
    const rows = posts.rejected.filter(
      (row, at) =>
        (filter.chosen === undefined || filter.chosen.has(posts.outcome[row] ?? 0)) &&
        (wanted === '' || (text(at) ?? '').includes(wanted)),
    );
    table.show(rows);
    const isNarrowed = wanted !== '' || filter.chosen !== undefined;
    clear.hidden = !isNarrowed;
    copyShown.hidden = !isNarrowed;
    copyShown.disabled = rows.length === 0;
    const label = `Copy ${formatNumberOf(idsOf(posts, rows).length, 'id')}`;
    relabel(copyShown, label, `${label} of failed posts that are shown`);
    said.textContent = isNarrowed
      ? `${formatCount(rows.length)} of ${formatNumberOf(posts.rejected.length, 'failed post')}`
      : '';
  };
  search.addEventListener('input', refresh);
  filter.onChange(refresh);
  clear.addEventListener('click', () => {
    search.value = '';
    filter.clear();
    search.focus();
  });
  refresh();
  const failed = counts.filter(({ name }) => name !== 'fulfilled');
  return {
    table,
    elements: [
      outcomeButtons(
        failed,
        failed.reduce((sum, { count }) => sum + count, 0),
        filter,
      ),
      element(
        'div',
        { class: 'tools' },
        element('label', { class: 'search', for: 'search' }, element('span', {}, 'Search'), search),
        clear,
        said,
        element('div', { class: 'copies' }, copyShown, copyAll),
      ),
      table.element,
    ],
  };
}

/** Ids as an event of the function has them, each once: `1` and `"1"` are one. */
function idsOf({ columns }: Posts, rows: Int32Array): readonly (string | number)[] {
  const ids = new Map<string, string | number>();
  for (const row of rows) {
    const id = columns.id[row] ?? '';
    if (!ids.has(`${id}`)) ids.set(`${id}`, id);
  }
  return [...ids.values()];
}

/** What is searched of each failed post, made when the first search needs it. */
function searchText(posts: Posts): (at: number) => string | undefined {
  let texts: readonly string[] | undefined;
  return (at) => {
    texts ??= Array.from(posts.rejected, (row, place) =>
      `${posts.columns.id[row]}\n${codeOf(posts, row)}\n${posts.columns.messages[place] ?? ''}`.toLowerCase(),
    );
    return texts[at];
  };
}

function columnsOf(posts: Posts, goTo: (row: number) => void): readonly Column[] {
  const { columns } = posts;
  const byNumber =
    (values: ArrayLike<number>) =>
    (a: number, b: number): number =>
      (values[a] ?? 0) - (values[b] ?? 0);
  const ms = (values: readonly number[]) => (row: number) => {
    const value = values[row] ?? -1;
    return value < 0 ? '–' : formatMs(value);
  };
  const isRetryable = (row: number) => columns.retryable[posts.rejection[row] ?? -1] === 1;
  return [
    {
      label: 'Index',
      isNumber: true,
      compare: (a, b) => a - b,
      cell: (row) => formatCount(indexOf(posts, row)),
    },
    {
      label: 'Id',
      className: 'id',
      compare: (a, b) => compareIds(columns.id[a] ?? '', columns.id[b] ?? ''),
      cell: (row) =>
        element(
          'button',
          {
            type: 'button',
            class: 'link',
            'aria-label': `${columns.id[row]}: show in the waterfall`,
            onclick: () => goTo(row),
          },
          foreign(columns.id[row] ?? ''),
        ),
    },
    {
      label: 'Code',
      className: 'code',
      compare: (a, b) => compareText(codeOf(posts, a), codeOf(posts, b)),
      cell: (row) => element('span', { class: 'coded' }, dotOf(codeOf(posts, row)), codeOf(posts, row)),
    },
    {
      label: 'Message',
      className: 'message',
      compare: (a, b) => compareText(messageOf(posts, a) ?? '', messageOf(posts, b) ?? ''),
      cell: (row) => foreign(messageOf(posts, row) ?? ''),
    },
    {
      label: 'HTTP',
      isNumber: true,
      compare: byNumber(columns.httpStatus),
      cell: (row) => ((columns.httpStatus[row] ?? 0) > 0 ? `${columns.httpStatus[row]}` : '–'),
    },
    {
      label: 'Attempts',
      isNumber: true,
      compare: byNumber(columns.attempts),
      cell: (row) => formatCount(columns.attempts[row] ?? 0),
    },
    { label: 'Start', isNumber: true, compare: byNumber(columns.startedMs), cell: ms(columns.startedMs) },
    { label: 'Took', isNumber: true, compare: byNumber(columns.durationMs), cell: ms(columns.durationMs) },
    { label: 'Waited', isNumber: true, compare: byNumber(columns.waitedMs), cell: ms(columns.waitedMs) },
    {
      label: 'Retryable',
      compare: (a, b) => Number(isRetryable(a)) - Number(isRetryable(b)),
      cell: (row) => (isRetryable(row) ? 'yes' : 'no'),
    },
  ];
}

function codeOf({ outcomes, outcome }: Posts, row: number): string {
  return outcomes[outcome[row] ?? 0] ?? '';
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
