import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { readPeakRssBytes } from '../support/peak-rss.ts';
import type { Report } from './contenders/contender.ts';

export interface ProcessOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the process when it aborts. */
  readonly signal: AbortSignal;
}

/** What a process that measures itself told in its last line, and how long it took until it was called. */
export interface SelfMeasured extends Report {
  readonly startUpMs: number;
}

/** A program of any kind, measured from outside, from its start to its end. */
export interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** As it was last seen: up to 5 ms before the end. */
  readonly peakRssBytes: number;
}

const LONGEST_MS = 900_000;

/** Runs a program whose last line is a Report. Rejects with what it wrote to stderr where it fails. */
export async function runSelfMeasured(
  program: string,
  args: readonly string[],
  { env = process.env, signal }: ProcessOptions,
): Promise<SelfMeasured> {
  const spawnedAtMs = Date.now();
  const run = promisify(execFile)(program, args, {
    env,
    signal,
    killSignal: 'SIGKILL',
    timeout: LONGEST_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  const { stdout } = await run.catch((error) => {
    throw signal.aborted ? error : new Error(lastWords(error.stderr) || error.message);
  });
  const report: Report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  return { ...report, startUpMs: report.calledAtMs - spawnedAtMs };
}

/** bash knows the CPU time of its children to the millisecond; Node does not tell that of its own. */
const MEASURE = `
start=$EPOCHREALTIME
"$@" 3>&- &
pid=$!
trap 'kill -KILL $pid' TERM
echo "$pid" >&3
wait $pid
code=$?
end=$EPOCHREALTIME
{ echo "$start $end"; times; } >&3
exit $code
`;

/** Runs any program, with its output into a file. Rejects with what it wrote to stderr where it fails. */
export async function runMeasured(
  command: readonly string[],
  outputFile: string,
  { env = process.env, signal }: ProcessOptions,
): Promise<Measured> {
  const output = await open(outputFile, 'w');
  try {
    const child = spawn('bash', ['-c', MEASURE, 'bash', ...command], {
      env: { ...env, LC_ALL: 'C' },
      signal,
      killSignal: 'SIGTERM',
      timeout: LONGEST_MS,
      stdio: ['ignore', output.fd, 'pipe', 'pipe'],
    });
    let told = '';
    let stderr = '';
    // What the child writes, we read: its type allows for either.
    (child.stdio[3] as Readable).setEncoding('utf8').on('data', (text: string) => {
      told += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    let peakRssBytes = 0;
    const watch = setInterval(() => {
      const [pid] = told.split('\n');
      if (pid) peakRssBytes = Math.max(peakRssBytes, readPeakRssBytes(pid));
    }, 5);
    const [code] = await once(child, 'close').finally(() => clearInterval(watch));
    if (code !== 0) throw new Error(lastWords(stderr) || `${command[0]} ended with ${code}`);
    const [, times = '', , children = ''] = told.split('\n');
    const [start, end] = times.split(' ').map(Number) as [number, number];
    return { seconds: end - start, cpuSeconds: cpuSeconds(children), peakRssBytes };
  } finally {
    await output.close();
  }
}

/** The sum of `0m0.120s 0m0.045s`. */
function cpuSeconds(times: string): number {
  return times
    .split(' ')
    .map((time) => /^(\d+)m([\d.]+)s$/.exec(time) ?? [])
    .reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}

/** The line that names the error, where there is one, else the last. */
function lastWords(stderr = ''): string {
  const lines = stderr.trim().split('\n');
  return (
    lines.findLast((line) => /\w(Error|Exception)\b.*:|FATAL ERROR/.test(line)) ??
    lines.at(-1) ??
    ''
  ).trim();
}
