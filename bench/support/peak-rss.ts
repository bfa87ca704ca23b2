import { readFileSync } from 'node:fs';

/**
 * The peak resident set of a process, by Linux's own count: `maxRSS` of Node begins with what the parent had when it
 * forked the process. 0 where the process has ended. @default this process
 */
export function readPeakRssBytes(pid = 'self'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}
