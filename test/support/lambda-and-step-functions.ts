import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { listen } from '../../local/world/listen.ts';

/** An event that Lambda was to deliver. */
interface Invocation {
  readonly functionArn: string;
  readonly type: string;
  readonly event: unknown;
}

/** What a request is answered with, if not as AWS does. */
interface Refusal {
  readonly status: number;
  readonly name: string;
}

/** What of Lambda and Step Functions is asked when a run is handed over. */
export interface HandOverStandIn {
  readonly environment: Readonly<Record<string, string>>;
  readonly invocations: Invocation[];
  /** By name: the input of each. */
  readonly executions: Map<string, string>;
  /** Names of executions that have ended. */
  readonly ended: Set<string>;
  /** What the next requests are answered with: the last goes on. */
  refusals: (Refusal | 'hang' | undefined)[];
  requests: number;
  reset(): void;
  close(): Promise<void>;
}

export async function startHandOverStandIn(): Promise<HandOverStandIn> {
  const server = createServer(async (request, response) => {
    standIn.requests += 1;
    const body = await text(request);
    const { refusals } = standIn;
    const refusal = refusals.length > 1 ? refusals.shift() : refusals[0];
    if (refusal === 'hang') return;
    const { status, name } = refusal ?? answer(request, body);
    const failure = { __type: name, message: 'policy text', Message: 'policy text' };
    response
      .writeHead(status, { 'content-type': 'application/json', 'x-amzn-errortype': name })
      .end(
        status === 202 ? '' : JSON.stringify(status === 200 ? { executionArn: name, startDate: 0 } : failure),
      );
  });

  const answer = (request: IncomingMessage, body: string): Refusal => {
    const functionArn = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1];
    if (functionArn !== undefined) {
      const type = String(request.headers['x-amz-invocation-type']);
      standIn.invocations.push({
        functionArn: decodeURIComponent(functionArn),
        type,
        event: JSON.parse(body),
      });
      return { status: 202, name: '' };
    }
    const { name, input } = JSON.parse(body) as { name: string; input: string };
    const isTaken = standIn.ended.has(name) || (standIn.executions.get(name) ?? input) !== input;
    if (isTaken) return { status: 400, name: 'ExecutionAlreadyExists' };
    standIn.executions.set(name, input);
    return { status: 200, name };
  };

  const { origin, close } = await listen(server);
  const standIn: HandOverStandIn = {
    environment: {
      AWS_ENDPOINT_URL_LAMBDA: origin,
      AWS_ENDPOINT_URL_SFN: origin,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'the-secret',
    },
    invocations: [],
    executions: new Map(),
    ended: new Set(),
    refusals: [undefined],
    requests: 0,
    reset() {
      standIn.invocations.length = 0;
      standIn.executions.clear();
      standIn.ended.clear();
      standIn.refusals = [undefined];
      standIn.requests = 0;
    },
    close,
  };
  return standIn;
}
