import type { PostColumns, RunPage, TimeBins } from '../../src/report/page-data.ts';
import { announcer } from '../base/announcer.ts';
import { type Child, element, foreign } from '../base/element.ts';
import {
  formatCount,
  formatInstant,
  formatMs,
  formatNumberOf,
  formatRate,
  formatShare,
} from '../base/format.ts';
import { dataTable } from '../charts/data-table.ts';
import { binLimits, histogram } from '../charts/histogram.ts';
import type { Pause } from '../charts/pauses.ts';
import { timeChart } from '../charts/time-chart.ts';
import { View } from '../charts/view.ts';
import { leastRows, Waterfall, waterfallHost } from '../charts/waterfall.ts';
import { OutcomeFilter } from '../rows/outcome-filter.ts';
import { indexOf, type Posts, toPosts } from '../rows/posts.ts';
import { rebin } from '../rows/rebin.ts';
import { describePost, describePosts, sayPost } from './describe-post.ts';
import { failuresTable } from './failures.ts';
import { copied, type Figure, facts, figures, header, headline, redrive, section, warning } from './head.ts';
import { dotOf, type OutcomeCount, outcomeBar, outcomeButtons } from './outcome-buttons.ts';
import type { PagedTable } from './paged-table.ts';
import { help, spokenHelp, waterfallLegend, zoomButtons } from './toolbar.ts';

/** What documents say of their traffic has grown, and older ones have less of it. */
type Summary = Partial<RunPage['summary']> & { readonly pauses?: readonly Pause[] };

const LEAST_MS = 2;
/** Lines of a table of figures. */
const MOST_LINES = 40;

/** Fills `place` with the page of a run; gives its table, for print. */
export function showRun(place: HTMLElement, page: RunPage, columns: PostColumns): readonly PagedTable[] {
  const { run, summary } = page;
  document.title = `Run ${run.id}`;
  const posts = toPosts(columns, summary.durationMs);
  const filter = new OutcomeFilter();
  const counts = countsOf(page, posts);
  const view = new View(
    { min: 0, max: posts.lastMs, leastSpan: Math.min(LEAST_MS, posts.lastMs) },
    { min: 0, max: Math.max(1, posts.count), leastSpan: Math.max(1, leastRows(posts.count)) },
  );
  const pauses = (summary as Summary).pauses ?? [];
  const total = summary.fulfilled + summary.rejected;

  const timeline = element('div', { class: 'charts' });
  const latency = element('div', { class: 'charts' });
  const failures = element('div');
  place.append(
    element(
      'div',
      { class: 'page' },
      header('batch-fetcher run', run.id, summary, [
        element('time', { datetime: run.startedAt }, formatInstant(run.startedAt)),
        `took ${formatMs(summary.durationMs)}`,
        run.redriveOf !== undefined && element('span', {}, 'redrive of ', foreign(run.redriveOf)),
      ]),
      element(
        'main',
        {},
        ...warningsOf(page),
        section(
          'Outcomes',
          'summary',
          headline(summary),
          outcomeBar(counts, total),
          outcomeButtons(counts, total, filter),
          figures(figuresOf(page, columns.bins, pauses)),
          redrive(page.redrive, page.errors.retryable),
          facts([
            ['URL', element('code', {}, foreign(run.urlTemplate))],
            ['Document', copied(page.location, 'the place of the document')],
            ['Trigger', `${run.trigger}, request `, element('code', {}, foreign(run.requestId))],
          ]),
        ),
        section('Timeline', 'timeline', timeline),
        section('Latency', 'latency', latency),
        section('Failures', 'failures', failures),
        spokenHelp('post'),
      ),
      footer(page, posts),
      announcer(),
    ),
  );

  const showInWaterfall = fillTimeline(timeline, posts, view, filter, pauses);
  fillLatency(latency, page, columns.latency);
  if (posts.rejected.length === 0) {
    failures.append(
      element('p', { class: 'none' }, summary.requested === 0 ? 'The run had no posts.' : 'No post failed.'),
    );
    return [];
  }
  const { elements, table } = failuresTable(posts, counts, filter, showInWaterfall);
  failures.append(...elements);
  return [table];
}

function fillTimeline(
  place: HTMLElement,
  posts: Posts,
  view: View,
  filter: OutcomeFilter,
  pauses: readonly Pause[],
): (row: number) => void {
  const bins = rebin(posts.columns.bins, posts.count);
  if (posts.count === 0) {
    place.append(element('p', { class: 'none' }, 'There is nothing to show: the run had no posts.'));
    return () => {};
  }
  const rates = [bins.ended, bins.rejected].map((counted) =>
    counted.map((count) => (1_000 * count) / bins.widthMs),
  );
  const [ended = [], rejected = []] = rates;
  const name = `Waterfall: when each of ${formatNumberOf(posts.count, 'post')} was fetched, in ${formatMs(posts.lastMs)}`;
  const host = waterfallHost('Waterfall of the posts', 'keys-of-rows');
  place.append(
    element(
      'div',
      { class: 'bar' },
      waterfallLegend([
        ['solid', 'attempt'],
        ['hatched', 'wait between attempts'],
        ...(posts.marked.includes(1) ? [['hedged', 'hedged'] as const] : []),
        ...(pauses.length > 0 ? [['paused', 'paused by the origin'] as const] : []),
      ]),
      zoomButtons(view),
    ),
  );
  const inFlight = element('div', { class: 'chart' });
  const rate = element('div', { class: 'chart' });
  place.append(inFlight, rate);
  timeChart(inFlight, {
    title: 'In flight',
    name: `Attempts in flight over time: ${formatRate(Math.max(0, ...bins.inFlight))} at most, on average of ${formatMs(bins.widthMs)}`,
    view,
    pauses,
    widthMs: bins.widthMs,
    areas: [{ label: 'attempts', colour: 'accent', values: bins.inFlight }],
    format: formatRate,
  });
  timeChart(rate, {
    title: 'Posts a second',
    name: `Posts that ended a second over time: ${formatRate(Math.max(0, ...ended))} at most, of these rejected ${formatRate(Math.max(0, ...rejected))} at most`,
    view,
    pauses,
    widthMs: bins.widthMs,
    areas: [
      { label: 'ended', colour: 'fulfilled', values: ended },
      ...(rejected.some((perSecond) => perSecond > 0)
        ? [{ label: 'of these rejected', colour: 'rejected' as const, values: rejected }]
        : []),
    ],
    format: formatRate,
  });
  const takenOver = posts.startMs.reduce((count, ms) => count + Number(Number.isNaN(ms)), 0);
  const dots = posts.outcomes
    .filter((_, outcome) => posts.outcome.includes(outcome))
    .map((name) => element('li', {}, dotOf(name), name));
  place.append(
    element(
      'div',
      { class: 'chart' },
      element(
        'div',
        { class: 'chart-head' },
        element('h3', {}, 'Waterfall'),
        element('ul', { class: 'legend' }, ...dots),
      ),
      host,
    ),
    ...(takenOver > 0
      ? [
          element(
            'p',
            { class: 'readout' },
            `${formatNumberOf(takenOver, 'post')} without a bar: the outcome is that of an earlier run.`,
          ),
        ]
      : []),
    element('div', { class: 'below' }, help('post'), binTable(bins)),
  );
  const waterfall = new Waterfall(host, {
    rows: posts,
    view,
    filter,
    pauses,
    noun: 'post',
    name,
    numberOf: (row) => indexOf(posts, row),
    describe: (row) => describePost(posts, row),
    describeGroup: (first, end, level, group) => describePosts(posts, [first, end], level, group),
    sayRow: (row) => sayPost(posts, row),
  });
  return (row) => waterfall.bringTo(row);
}

function binTable(bins: TimeBins): HTMLElement {
  const step = Math.max(1, Math.ceil(bins.ended.length / MOST_LINES));
  const starts = bins.ended.map((_, bin) => bin).filter((bin) => bin % step === 0);
  const sum = (values: readonly number[], bin: number) =>
    values.slice(bin, bin + step).reduce((total, value) => total + value, 0);
  return dataTable('Posts over time', ['From', 'Started', 'Ended', 'Rejected', 'In flight'], () =>
    starts.map((bin) => [
      formatMs(bin * bins.widthMs),
      formatCount(sum(bins.started, bin)),
      formatCount(sum(bins.ended, bin)),
      formatCount(sum(bins.rejected, bin)),
      formatRate(sum(bins.inFlight, bin) / bins.inFlight.slice(bin, bin + step).length),
    ]),
  );
}

function fillLatency(place: HTMLElement, { summary }: RunPage, counts: readonly number[]): void {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) {
    place.append(element('p', { class: 'none' }, 'No post was attempted.'));
    return;
  }
  const { p50, p90, p99, max } = summary.latencyMs;
  // Those that are the same, in a run of a single post say, have one mark.
  const labels = new Map<number, string>();
  for (const [label, quantile] of Object.entries({ p50, p90, p99 })) {
    if (quantile === null) continue;
    const ms = Math.max(1, quantile);
    const same = labels.get(ms);
    labels.set(ms, same === undefined ? label : `${same}, ${label}`);
  }
  const marks = Array.from(labels, ([ms, label]) => ({ label, ms }));
  const said = marks.map(({ label, ms }) => `${label} ${formatMs(ms)}`).join(', ');
  const readout = element('p', { class: 'readout' });
  const host = element('div', { class: 'plot' });
  const resting = `From a post's first attempt to its outcome, waits included, on a log scale; ${max === null ? '' : `${formatMs(max)} at most`}`;
  readout.textContent = resting;
  place.append(
    readout,
    host,
    dataTable('Posts by latency', ['From', 'To', 'Posts', 'Share'], () =>
      counts.flatMap((count, bin) => {
        if (count === 0) return [];
        const [from, to] = binLimits(bin);
        return [
          [bin === 0 ? '0 ms' : formatMs(from), formatMs(to), formatCount(count), formatShare(count, total)],
        ];
      }),
    ),
  );
  histogram(host, {
    name: `How long posts took: ${said}`,
    counts,
    marks,
    onBin: (bin) => {
      const count = bin === undefined ? undefined : counts[bin];
      if (bin === undefined || count === undefined) readout.textContent = resting;
      else {
        const [from, to] = binLimits(bin);
        readout.textContent = `${formatMs(from)} to ${formatMs(to)}: ${formatNumberOf(count, 'post')}, ${formatShare(count, total)}`;
      }
    },
  });
}

function countsOf({ summary, errors }: RunPage, posts: Posts): readonly OutcomeCount[] {
  const place = (name: string) => {
    const outcome = posts.outcomes.indexOf(name);
    return outcome < 0 ? undefined : outcome;
  };
  const codes = Object.entries(errors.byCode)
    .map(([name, count = 0]) => ({ name, label: name, count, outcome: place(name) }))
    .sort((a, b) => b.count - a.count);
  return [
    {
      name: 'fulfilled',
      label: 'fulfilled',
      count: summary.fulfilled,
      outcome: posts.count > 0 ? 0 : undefined,
    },
    ...codes,
  ];
}

function warningsOf({ summary, shown }: RunPage): readonly HTMLElement[] {
  const { unsolicited } = summary as Summary;
  return [
    ...(summary.complete
      ? []
      : [
          warning(
            element('strong', {}, 'Incomplete. '),
            'The time of the function ran out, or the origin had the run wait past it, before every post was fetched.',
          ),
        ]),
    ...(unsolicited
      ? [
          warning(
            element('strong', {}, 'Unsolicited answers. '),
            `The origin sent ${formatNumberOf(unsolicited, 'answer')} that nobody had asked for: what it says of other posts may not be what it meant to.`,
          ),
        ]
      : []),
    ...(shown < summary.requested
      ? [
          warning(
            `The waterfall and the table show ${formatCount(shown)} of ${formatNumberOf(summary.requested, 'post')}; figures, rates and latency are those of all.`,
          ),
        ]
      : []),
  ];
}

function figuresOf(
  { summary }: RunPage,
  bins: TimeBins,
  pauses: readonly Pause[],
): readonly (Figure | undefined)[] {
  const { durationMs, fulfilled, rejected, attempts, latencyMs } = summary;
  // Outcomes that a redrive took over, and posts that the time did not reach, took none of it.
  const attempted = bins.ended.reduce((sum, count) => sum + count, 0);
  const total = fulfilled + rejected;
  const { throttledMs, peakInFlight, concurrency, retries, retryBudgetLeft, hedges, hedgesWon, learned } =
    summary as Summary;
  // The first that is known is the figure, and the others stand below.
  const [found, ...alsoFound] = [
    learned?.perSecond != null && `${formatRate(learned.perSecond)} a second`,
    learned?.inFlight != null && `${formatCount(learned.inFlight)} in flight`,
    learned?.told != null && `told ${formatRate(learned.told)} a second`,
  ].filter((one) => one !== false);
  return [
    { name: 'Makespan', value: formatMs(durationMs) },
    {
      name: 'Posts a second',
      value: durationMs > 0 ? formatRate((1_000 * attempted) / durationMs) : '–',
      ...(attempted < total && {
        note: `${formatCount(attempted)} of ${formatNumberOf(total, 'post')} attempted`,
      }),
    },
    {
      name: 'Latency, median',
      value: latencyMs.p50 === null ? '–' : formatMs(latencyMs.p50),
      ...(latencyMs.p99 !== null && { note: `p99 ${formatMs(latencyMs.p99)}` }),
    },
    {
      name: 'Attempts',
      value: formatCount(attempts),
      ...(retries !== undefined && {
        note: `${formatNumberOf(retries, 'retrie').replace(/retrie$/, 'retry')}${retryBudgetLeft === undefined ? '' : `, ${formatCount(retryBudgetLeft)} left`}`,
      }),
    },
    peakInFlight === undefined
      ? undefined
      : {
          name: 'In flight, peak',
          value: formatCount(peakInFlight),
          ...(concurrency && {
            note:
              concurrency.min === concurrency.max
                ? `limit ${formatCount(concurrency.max)}`
                : `limit ${formatCount(concurrency.min)}–${formatCount(concurrency.max)}, ${formatCount(concurrency.final)} at the end`,
          }),
        },
    throttledMs === undefined
      ? undefined
      : { name: 'Throttled', value: formatMs(throttledMs), note: formatNumberOf(pauses.length, 'pause') },
    hedges === undefined
      ? undefined
      : {
          name: 'Hedges',
          value: formatCount(hedges),
          ...(hedges > 0 && { note: `${formatCount(hedgesWon ?? 0)} won` }),
        },
    found === undefined
      ? undefined
      : {
          name: 'Learned of the origin',
          value: found,
          ...(alsoFound.length > 0 && { note: alsoFound.join(', ') }),
        },
  ];
}

function footer({ run }: RunPage, posts: Posts): HTMLElement {
  const parts: Child[] = [
    'Waits of a post are drawn of one length, between attempts of one length: its document has their sum. ',
    posts.count > 0 &&
      'Where there are more posts than lines, a line is a group of posts: pale from its first start to its last end, solid from its mean start to its mean end, with failures marked. ',
    'Ids by SHA-256: ',
    element('code', {}, foreign(run.idsSha256)),
  ];
  return element('footer', {}, element('p', {}, ...parts));
}
