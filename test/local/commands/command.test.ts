import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { localBucket, projectDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { runCommand } from '../../support/run-command.ts';

describe.concurrent('every command', { timeout: 60_000 }, () => {
  test.each([
    ['start', '--help'],
    ['redrive', '-h'],
    ['results', '--no-such-option', 'a', 'b', '--help'],
    ['scale', '--redrive', 'a', '--help'],
    ['report-run', 'a', '--help'],
    ['replay-failed', '-h'],
  ])('%s prints its usage when it is asked', async (command, ...args) => {
    expect(await runCommand(`local/commands/${command}.ts`, args)).toStrictEqual({
      code: 0,
      out: expect.stringMatching(/^Usage: npm (start|run [\w-]+) -- .+\n\n[\s\S]+\n {2}--\w/),
      err: '',
    });
  });
});

afterAll(() => removeObject(`s3://${localBucket}/runs/plans/ended-${process.pid}.jsonl`));

describe.concurrent('a command that is ended', { timeout: 60_000 }, () => {
  /** An origin that never answers, and a command that waits for it. */
  async function runForEver(command: string, args: readonly string[]) {
    const asked = Promise.withResolvers<IncomingMessage>();
    const { origin, close } = await listen(createServer((request) => asked.resolve(request)));
    const child = spawn(command, args, {
      cwd: projectDirectory,
      env: { ...process.env, POST_URL: `${origin}/{id}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { socket } = await asked.promise;
    return { child, gone: once(socket, 'close'), close };
  }

  const file = 'local/commands/start.ts';
  test.each([
    ['node', 'SIGTERM', [file, '1']],
    ['node', 'SIGKILL', [file, '1']],
    ['npm', 'SIGTERM', ['start', '--', '1']],
    ['npm', 'SIGTERM', ['run', 'scale', '--', '--ids', '1', '--run-id', `ended-${process.pid}`]],
  ] as const)('%s ended by %s, of %j, leaves nothing behind', async (command, signal, args) => {
    const { child, gone, close } = await runForEver(command === 'node' ? process.execPath : command, args);
    const exit = once(child, 'exit');
    child.kill(signal);
    // The connection ends with the process that fetches.
    const [ended] = await Promise.all([exit, gone]);
    expect(ended).toStrictEqual([null, signal]);
    await close();
  });

  test('by a reader that has enough, it says nothing of that', async () => {
    const child = spawn(process.execPath, [file, '1'], {
      cwd: projectDirectory,
      env: { ...process.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exit = once(child, 'exit');
    child.stdout.once('data', () => child.stdout.destroy());
    const [err, [code]] = await Promise.all([text(child.stderr), exit]);
    expect([code, err]).toStrictEqual([0, '']);
  });
});
