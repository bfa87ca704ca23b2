import { Logger, LogLevelThreshold } from '@aws-lambda-powertools/logger';
import { BatchFetcherError } from '../base/errors.ts';
import type { RunHead } from '../document/run-head.ts';
import { PostError } from '../fetch/outcome.ts';
import type { RunObserver } from '../run/observer.ts';
import { createMeasure, type Measure, type TelemetrySettings } from './metrics.ts';

/** An observer of runs that can be told who asked for one. */
export interface Telemetry extends RunObserver {
  runStarted(run: RunHead, caller?: string): void;
  /** A run of the API was handed over, and goes on elsewhere. */
  runAccepted(runId: string, requestId: string, caller: string | undefined): void;
}

/**
 * Tells of runs on standard output and standard error: one JSON object a line, for CloudWatch Logs, and those in
 * the embedded metric format for CloudWatch's metrics. docs/operations.md lists both.
 *
 * A line that cannot be written is lost, and neither throws nor ends the process. What is written are ids, codes,
 * numbers, and the messages of our own errors: never a body, a header, the URL of a post, or the message of an
 * error that another library made.
 *
 * For all but the two names, Powertools reads the POWERTOOLS_* variables and AWS_LAMBDA_LOG_LEVEL of the process
 * itself, and throws where one of them is wrong; `readConfig` checks those before.
 */
export function createTelemetry({ serviceName, metricsNamespace }: TelemetrySettings): Telemetry {
  const logger = new Logger({ serviceName });
  const measure = createMeasure({ serviceName, metricsNamespace });
  forgiveBrokenPipes();
  let isDebug = false;

  return {
    runStarted(run, caller) {
      // A sampled run must not leave the next one of a warm process at debug.
      logger.refreshSampleRateCalculation();
      // Asked once a run: Logger reads the environment each time.
      isDebug = logger.level <= LogLevelThreshold.DEBUG;
      logger.appendKeys({ runId: run.id });
      const { requested, idsSha256, returnExceptions } = run;
      logger.info('Run started', {
        ...labels(run),
        ...(caller !== undefined && { caller }),
        requested,
        returnExceptions,
        idsSha256,
      });
    },

    runAccepted(runId, requestId, caller) {
      logger.info('Run accepted', { runId, requestId, ...(caller !== undefined && { caller }) });
    },

    postRejected(index, id, code) {
      if (isDebug) logger.debug('Post rejected', { index, id, code });
    },

    runEnded({ run, errors, summary, location }) {
      if (summary.unsolicited !== undefined)
        logger.warn('The origin sent answers that nobody had asked for', {
          ...labels(run),
          unsolicited: summary.unsolicited,
        });
      logger.info('Run ended', { ...labels(run), location, ...summary, byCode: errors.byCode });
      measure({
        PostsFulfilled: summary.fulfilled,
        PostsRejected: summary.rejected,
        Attempts: summary.attempts,
        Retries: summary.retries,
        Hedges: summary.hedges,
        PeakInFlight: summary.peakInFlight,
        ThrottledTime: summary.throttledMs,
        PostLatencyP50: summary.latencyMs.p50,
        PostLatencyP90: summary.latencyMs.p90,
        PostLatencyP99: summary.latencyMs.p99,
        RunDuration: summary.durationMs,
        RunsSucceeded: 1,
        RunsIncomplete: summary.complete ? 0 : 1,
      });
      for (const [code, rejected] of Object.entries(errors.byCode))
        measure({ PostsRejected: rejected }, code);
    },

    runReplayed({ run, location }) {
      logger.info('Run replayed', {
        runId: run.id,
        location,
        earlier: { trigger: run.trigger, requestId: run.requestId, startedAt: run.startedAt },
      });
    },

    runInProgress(run, { state, requestId, startedAt, beatAt }) {
      logger.info('Run in progress elsewhere', {
        ...labels(run),
        other: { state, requestId, startedAt, beatAt },
      });
    },

    runFailed(run, error) {
      logger.error('Run failed', { ...labels(run), error: describeError(error) });
      countFailure(error, measure);
    },
  };
}

/** Counts an invocation that failed, in all and by the code of its error. */
export function countFailure(error: unknown, measure: Measure): void {
  measure({ RunsFailed: 1 });
  const isOurs = error instanceof BatchFetcherError || error instanceof PostError;
  measure({ RunsFailed: 1 }, isOurs ? error.code : 'INTERNAL_ERROR');
}

/** Lines that nobody reads are lost: Node forgives a broken pipe the first one, and ends the process at the second. */
export function forgiveBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) stream.off('error', ignore).on('error', ignore);
}

function ignore(): void {}

function labels({ id, trigger, requestId }: RunHead) {
  return { runId: id, trigger, requestId };
}

/** What of an error may be written. */
export function describeError(error: unknown) {
  if (error instanceof PostError) {
    const { name, code, id, message } = error;
    return { name, code, id, message };
  }
  if (error instanceof BatchFetcherError) {
    const { name, code, message } = error;
    return { name, code, message };
  }
  if (!(error instanceof Error)) return { name: typeof error };
  // No one vouches for a foreign message (JSON.parse quotes the text that it fails on), and its stack begins with it.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { name: error.name, code, stack: error.stack?.split('\n').filter((line) => FRAME.test(line)) };
}

const FRAME = /^ {4}at .+:\d+:\d+\)?$/;
