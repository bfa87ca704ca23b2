import { type Handler, loadBuilt } from './functions.ts';

/*
 * Functions through an alias. serverless-offline knows none: to it, each is a function of its own, whose name is the Arn
 * of the alias.
 */

export const fetch: Handler = throughAlias('handler');
export const plan: Handler = throughAlias('plan');
export const conclude: Handler = throughAlias('conclude');

function throughAlias(name: string): Handler {
  return async (event, context) => {
    const handler = await loadBuilt(name);
    return handler(event, { ...context, invokedFunctionArn: context.functionName });
  };
}
