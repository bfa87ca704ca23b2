import type { Context } from 'aws-lambda';
import type { Config } from './config.ts';

/** What tells of an invocation for which run it is. */
type Invocation = Partial<Pick<Context, 'invokedFunctionArn'>>;

/** Whether the API hands a run over: nobody else may invoke this alias. */
export function isFromApi({ invokedFunctionArn }: Invocation, { asyncFunction }: Config): boolean {
  return asyncFunction !== '' && invokedFunctionArn === asyncFunction;
}

/** Whether the state machine for runs of the API invokes the function: nobody else may invoke this alias. */
export function isTaskOfApiRun({ invokedFunctionArn }: Invocation, { asyncTaskFunction }: Config): boolean {
  return asyncTaskFunction !== '' && invokedFunctionArn === asyncTaskFunction;
}

/** What the keys start with of what an invocation keeps: by who may invoke the function so, and by nothing that he says. */
export function prefixOf(invocation: Invocation, config: Config): string {
  const isOfApi = isFromApi(invocation, config) || isTaskOfApiRun(invocation, config);
  return (isOfApi && config.asyncResultsPrefix) || config.resultsPrefix;
}
