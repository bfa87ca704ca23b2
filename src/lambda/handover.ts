import { HandoverError } from '../base/errors.ts';
import { nameOf } from './sdk-error.ts';

/** What others are told to do. Rejects with HandoverError, or with the signal's reason when that aborts. */
export interface Handover {
  /** Has Lambda invoke a function by and by, of which nothing is heard here. */
  invoke(functionArn: string, event: string, signal: AbortSignal): Promise<void>;
  /**
   * Starts an execution, unless one of that name and input runs. Resolves with false where the name was that of another
   * one: it has ended, or has another input.
   */
  execute(stateMachineArn: string, name: string, input: string, signal: AbortSignal): Promise<boolean>;
}

/** A request that hangs ends in time for another. */
const CLIENT_CONFIG = {
  maxAttempts: 3,
  requestHandler: {
    connectionTimeout: 1_000,
    requestTimeout: 3_000,
    socketTimeout: 3_000,
    throwOnRequestTimeout: true,
  },
};

/** The clients for that, each of which is loaded when it is needed: most invocations hand nothing over. */
export function createHandover(): Handover {
  let lambda: ReturnType<typeof openLambda> | undefined;
  let stepFunctions: ReturnType<typeof openStepFunctions> | undefined;
  return {
    async invoke(functionArn, event, signal) {
      lambda ??= openLambda();
      const { client, InvokeCommand } = await lambda;
      const command = new InvokeCommand({
        FunctionName: functionArn,
        InvocationType: 'Event',
        Payload: Buffer.from(event),
      });
      await client.send(command, { abortSignal: signal }).catch((error: unknown) => {
        throw failureOf(error, 'Lambda', signal);
      });
    },
    async execute(stateMachineArn, name, input, signal) {
      stepFunctions ??= openStepFunctions();
      const { client, StartExecutionCommand } = await stepFunctions;
      const command = new StartExecutionCommand({ stateMachineArn, name, input });
      try {
        await client.send(command, { abortSignal: signal });
        return true;
      } catch (error) {
        // Known by its name: its class is of another bundle.
        if (error instanceof Error && error.name === 'ExecutionAlreadyExists') return false;
        throw failureOf(error, 'Step Functions', signal);
      }
    },
  };
}

async function openLambda() {
  const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
  return { client: new LambdaClient(CLIENT_CONFIG), InvokeCommand };
}

async function openStepFunctions() {
  const { SFNClient, StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  return { client: new SFNClient(CLIENT_CONFIG), StartExecutionCommand };
}

function failureOf(error: unknown, service: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  return new HandoverError(`The run could not be handed over: ${service} gave ${nameOf(error)}`, {
    cause: error,
  });
}
