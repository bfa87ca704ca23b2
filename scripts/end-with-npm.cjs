'use strict';

/** How soon the end of npm is noticed, in milliseconds. */
const lookMs = 500;

// npm hands a signal to the shell that it starts a command with, which ends, and leaves the command running.
const { ppid } = process;
if (process.env.npm_lifecycle_event !== undefined && ppid > 1) {
  const timer = setInterval(() => {
    if (process.ppid === ppid) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, lookMs);
  timer.unref();
}
