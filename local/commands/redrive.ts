import { runCommand, UsageError } from './command.ts';
import { parseArgument, runAndShow, usage } from './run-and-show.ts';

await runCommand(usage, async () => {
  const { what: runId, json } = parseArgument();
  if (runId === undefined) throw new UsageError('Expected the id of a run, got none');
  const input = ['-d', JSON.stringify({ redrive: runId })] as const;
  await runAndShow({ functionName: 'fetch', input }, { what: runId, title: `Redrive of ${runId}`, json });
});
