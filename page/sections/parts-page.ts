import type { PartRow, PartsPage } from '../../src/report/page-data.ts';
import { announcer } from '../base/announcer.ts';
import { outcomeVariable } from '../base/colours.ts';
import { type Child, element, foreign } from '../base/element.ts';
import {
  formatCount,
  formatInstant,
  formatMs,
  formatNumberOf,
  formatRate,
  formatShare,
} from '../base/format.ts';
import type { Details } from '../charts/tooltip.ts';
import { View } from '../charts/view.ts';
import { leastRows, Waterfall, waterfallHost } from '../charts/waterfall.ts';
import { OutcomeFilter } from '../rows/outcome-filter.ts';
import { outcomeOf, rateOf, toPartRows } from '../rows/parts.ts';
import { copied, facts, figures, header, headline, redrive, section, warning } from './head.ts';
import { dotOf, type OutcomeCount, outcomeBar, outcomeButtons } from './outcome-buttons.ts';
import { type Column, compareIds, PagedTable } from './paged-table.ts';
import { help, spokenHelp, waterfallLegend, zoomButtons } from './toolbar.ts';

const LABELS = { fulfilled: 'no failures', partial: 'with failures', failed: 'no document' };
const LEAST_MS = 10;

/** Fills `place` with the page of a run of parts; gives its table, for print. */
export function showParts(place: HTMLElement, page: PartsPage): readonly PagedTable[] {
  const { run, summary, errors, parts } = page;
  document.title = `Run ${run.id}`;
  const rows = toPartRows(parts);
  const filter = new OutcomeFilter();
  const view = new View(
    { min: 0, max: rows.lastMs, leastSpan: Math.min(LEAST_MS, rows.lastMs) },
    { min: 0, max: Math.max(1, rows.count), leastSpan: Math.max(1, leastRows(rows.count)) },
  );
  const counts: readonly OutcomeCount[] = [
    { name: 'fulfilled', label: 'fulfilled', count: summary.fulfilled, outcome: undefined },
    ...Object.entries(errors.byCode)
      .map(([name, count = 0]) => ({ name, label: name, count, outcome: undefined }))
      .sort((a, b) => b.count - a.count),
    ...(summary.failed > 0
      ? [{ name: 'failed', label: 'in parts without a document', count: summary.failed, outcome: undefined }]
      : []),
  ];
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  const byPart = (['fulfilled', 'partial', 'failed'] as const).map((name, outcome) => ({
    name,
    label: LABELS[name],
    count: parts.filter((part) => outcomeOf(part) === name).length,
    outcome,
  }));
  const tookMs =
    summary.startedAt === null || summary.finishedAt === null
      ? null
      : Date.parse(summary.finishedAt) - Date.parse(summary.startedAt);
  const chart = element('div', { class: 'charts' });
  const list = element('div');
  place.append(
    element(
      'div',
      { class: 'page' },
      header('batch-fetcher run of parts', run.id, summary, [
        summary.startedAt !== null &&
          element('time', { datetime: summary.startedAt }, formatInstant(summary.startedAt)),
        tookMs !== null && `took ${formatMs(tookMs)}`,
      ]),
      element(
        'main',
        {},
        ...(summary.parts.failed > 0
          ? [
              warning(
                element('strong', {}, `${formatNumberOf(summary.parts.failed, 'part')} without a document. `),
                `${formatNumberOf(summary.failed, 'post')} of these are not known.`,
              ),
            ]
          : []),
        ...(parts.length < summary.parts.total
          ? [
              warning(
                `The waterfall and the table show ${formatCount(parts.length)} of ${formatNumberOf(summary.parts.total, 'part')}; figures are those of all.`,
              ),
            ]
          : []),
        section(
          'Outcomes',
          'summary',
          headline(summary),
          outcomeBar(counts, total),
          outcomeLegend(counts, total),
          figures([
            { name: 'Makespan', value: tookMs === null ? '–' : formatMs(tookMs) },
            {
              name: 'Posts a second',
              value:
                tookMs === null || tookMs <= 0
                  ? '–'
                  : formatRate((1_000 * (summary.fulfilled + summary.rejected)) / tookMs),
            },
            {
              name: 'Parts',
              value: formatCount(summary.parts.total),
              note: `${formatCount(summary.parts.failed)} without a document, ${formatCount(summary.parts.incomplete)} incomplete`,
            },
            { name: 'Attempts', value: formatCount(summary.attempts) },
            summary.latencyMs?.p50
              ? {
                  name: 'Latency, median',
                  value: between(summary.latencyMs.p50),
                  ...(summary.latencyMs.p99 && { note: `p99 ${between(summary.latencyMs.p99)}` }),
                }
              : undefined,
            summary.learned?.perSecond == null
              ? undefined
              : { name: 'Learned of the origin', value: `${formatRate(summary.learned.perSecond)} a second` },
          ]),
          redrive(page.redrive, errors.retryable),
          facts([['Run manifest', copied(page.location, 'the place of the run manifest')]]),
        ),
        section('Parts over time', 'timeline', chart),
        section('Parts', 'failures', list),
        spokenHelp('part'),
      ),
      announcer(),
    ),
  );
  if (parts.length === 0) {
    for (const one of [chart, list]) one.append(element('p', { class: 'none' }, 'The run has no parts.'));
    return [];
  }
  const name = `When each of ${formatNumberOf(parts.length, 'part')} ran, in ${formatMs(rows.lastMs)}`;
  const host = waterfallHost('Waterfall of the parts', 'keys-of-rows');
  chart.append(
    element(
      'div',
      { class: 'bar' },
      element(
        'ul',
        { class: 'legend' },
        ...byPart.map(({ name: outcome, label }) => element('li', {}, dotOf(outcome), label)),
      ),
      zoomButtons(view),
    ),
    element('div', { class: 'chart' }, host),
    element('div', { class: 'below' }, help('part'), waterfallLegend([['hatched', 'no times are known']])),
  );
  const waterfall = new Waterfall(host, {
    rows,
    view,
    filter,
    pauses: [],
    noun: 'part',
    name,
    numberOf: (row) => row,
    describe: (row) => describePart(parts[row]),
    describeGroup: (first, end, level, group) => ({
      title: `Parts ${formatCount(first)}–${formatCount(end - 1)}`,
      colour: outcomeVariable(rows.outcomes[level.top[group] ?? 0] ?? ''),
      pairs: byPart.flatMap(({ label, outcome }) => {
        const count = level.outcomes[group * rows.outcomes.length + outcome] ?? 0;
        return count > 0 ? [[label, formatNumberOf(count, 'part')] as const] : [];
      }),
    }),
    sayRow: (row) => sayPart(parts[row]),
    onPick: (row) => {
      const href = safeHref(parts[row]?.href ?? null);
      if (href !== undefined) location.assign(href);
    },
  });
  const table = new PagedTable({
    caption: 'Parts of the run',
    columns: columnsOf(parts, (row) => waterfall.bringTo(row)),
    rows: Int32Array.from(parts.keys()),
    empty: 'No part is like that.',
    rowName: 'parts',
  });
  filter.onChange(() =>
    table.show(
      Int32Array.from(parts.keys()).filter((row) => filter.chosen?.has(rows.outcome[row] ?? 0) ?? true),
    ),
  );
  list.append(
    outcomeButtons(
      byPart.filter(({ count }) => count > 0),
      parts.length,
      filter,
    ),
    table.element,
  );
  return [table];
}

/** A quantile of all parts, as far as it is known. */
function between({ min, max }: { readonly min: number; readonly max: number }): string {
  return min === max ? formatMs(min) : `${formatMs(min)} – ${formatMs(max)}`;
}

function outcomeLegend(counts: readonly OutcomeCount[], total: number): HTMLElement {
  return element(
    'ul',
    { class: 'outcomes' },
    ...counts.map(({ name, label, count }) =>
      element(
        'li',
        { class: 'outcome' },
        dotOf(name),
        element('span', { class: 'outcome-name' }, label),
        element('span', { class: 'outcome-count' }, formatCount(count)),
        element('span', { class: 'outcome-share' }, formatShare(count, total)),
      ),
    ),
  );
}

function describePart(part: PartRow | undefined): Details {
  if (!part) return { title: '', colour: '', pairs: [] };
  const rate = rateOf(part);
  return {
    title: foreign(part.runId),
    colour: outcomeVariable(outcomeOf(part)),
    pairs: [
      ['Posts', formatCount(part.requested)],
      ['From index', formatCount(part.firstIndex)],
      ...(part.code === undefined ? [] : [['Failed', part.code] as const]),
      ...(part.status === 'failed'
        ? []
        : ([
            ['Fulfilled', formatCount(part.fulfilled)],
            ['Rejected', formatCount(part.rejected)],
            ['Attempts', formatCount(part.attempts)],
          ] as const)),
      ...(part.startedMs === null ? [] : [['Start', formatMs(part.startedMs)] as const]),
      ...(part.durationMs === null ? [] : [['Took', formatMs(part.durationMs)] as const]),
      ...(rate === null ? [] : [['Posts a second', formatRate(rate)] as const]),
    ],
  };
}

function sayPart(part: PartRow | undefined): string {
  const { title, pairs } = describePart(part);
  const text = typeof title === 'string' ? title : title.textContent;
  return `${text}: ${pairs.map(([name, value]) => `${name} ${value}`).join(', ')}.`;
}

function columnsOf(parts: readonly PartRow[], goTo: (row: number) => void): readonly Column[] {
  const number = (
    label: string,
    value: (part: PartRow) => number | null,
    format: (value: number) => string,
  ): Column => {
    const of = (row: number) => {
      const part = parts[row];
      return part ? value(part) : null;
    };
    return {
      label,
      isNumber: true,
      // What is not known stands first.
      compare: (a, b) => (of(a) ?? -1) - (of(b) ?? -1),
      cell: (row) => {
        const known = of(row);
        return known === null ? '–' : format(known);
      },
    };
  };
  const ofStored = (value: (part: PartRow) => number) => (part: PartRow) =>
    part.status === 'failed' ? null : value(part);
  return [
    number('From index', ({ firstIndex }) => firstIndex, formatCount),
    {
      label: 'Part',
      className: 'id name',
      compare: (a, b) => compareIds(parts[a]?.runId ?? '', parts[b]?.runId ?? ''),
      cell: (row) => nameOf(parts[row]),
    },
    {
      label: 'State',
      className: 'code',
      compare: (a, b) => compareIds(stateOf(parts[a]), stateOf(parts[b])),
      cell: (row) => {
        const part = parts[row];
        return part && element('span', { class: 'coded' }, dotOf(outcomeOf(part)), stateOf(part));
      },
    },
    number('Posts', ({ requested }) => requested, formatCount),
    number(
      'Fulfilled',
      ofStored(({ fulfilled }) => fulfilled),
      formatCount,
    ),
    number(
      'Rejected',
      ofStored(({ rejected }) => rejected),
      formatCount,
    ),
    number(
      'Attempts',
      ofStored(({ attempts }) => attempts),
      formatCount,
    ),
    number('Start', ({ startedMs }) => startedMs, formatMs),
    number('Took', ({ durationMs }) => durationMs, formatMs),
    number('Posts a second', (part) => rateOf(part), formatRate),
    {
      label: 'Waterfall',
      cell: (row) =>
        element(
          'button',
          {
            type: 'button',
            class: 'link',
            'aria-label': `${parts[row]?.runId}: show in the waterfall`,
            onclick: () => goTo(row),
          },
          'show',
        ),
    },
  ];
}

function stateOf(part: PartRow | undefined): string {
  if (!part) return '';
  return part.status === 'failed' ? (part.code ?? 'failed') : LABELS[outcomeOf(part)];
}

function nameOf(part: PartRow | undefined): Child {
  if (!part) return '';
  const href = safeHref(part.href);
  const name = foreign(part.runId);
  return href === undefined ? name : element('a', { href }, name);
}

/** An address that a browser only opens; undefined for one that would run. */
function safeHref(href: string | null): string | undefined {
  if (href === null) return undefined;
  try {
    const { protocol } = new URL(href, location.href);
    return ['http:', 'https:', 'file:'].includes(protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}
