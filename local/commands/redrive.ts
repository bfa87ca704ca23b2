import { runCommand, UsageError } from './command.ts';
import { parseRedrivenRun } from './right-command.ts';
import { parseArgument, runAndShow, usage } from './run-and-show.ts';

await runCommand(usage, async () => {
  const { what, json } = parseArgument();
  if (what === undefined) throw new UsageError('Expected the id of a run, got none');
  const runId = parseRedrivenRun(what, 'redrive');
  const input = ['-d', JSON.stringify({ redrive: runId })] as const;
  await runAndShow({ functionName: 'fetch', input }, { what: runId, title: `Redrive of ${runId}`, json });
});
