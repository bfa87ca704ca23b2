import type { Clock } from '../base/clock.ts';
import { ConfigError, ConfigUnavailableError } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';
import { nameOf, type SdkError } from './sdk-error.ts';

const MAX_HEADERS = 32;
/** SSM's own limit, that of its advanced tier. */
const MAX_CHARS = 8_192;

/** How much of the function's time SSM may take: the posts that it is for need some as well. */
const SHARE_OF_TIME = 0.5;
/** A request that hangs ends in time for others. How many there are, the time decides, and the SDK's own quota. */
const CLIENT_CONFIG = {
  retryMode: 'adaptive',
  maxAttempts: 1_000,
  requestHandler: {
    connectionTimeout: 1_000,
    requestTimeout: 2_000,
    // Ends a body that stalls: the other two timeouts end where the body begins.
    socketTimeout: 2_000,
    throwOnRequestTimeout: true,
  },
};
/** Names of errors, besides those of the server's side, after which SSM may give the same parameter. */
const PASSING =
  /throttl|slowdown|toomany|limitexceeded|requesttimeout|expiredtoken|requestexpired|^TimeoutError$|^SyntaxError$/i;
/** A name that the system has for what ended a connection, and none of Node's own errors. */
const SYSTEM_CODE = /^E(?!RR_)[A-Z_]+$/;

/** RFC 9110's token. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** White space at either end would be lost on HTTP/1.1, and HTTP/2 refuses it. */
const VALUE = /^[\x21-\x7e\xa0-\xff]+([\t ]+[\x21-\x7e\xa0-\xff]+)*$/;
const GOVERNED =
  /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|http2-settings|te|trailer|expect|accept-encoding|proxy-.*)$/;

/**
 * Reads the headers for the origin from an SSM parameter, a JSON object of strings. Resolves with them, checked, under
 * lower-case names. An SSM that is throttled or cannot be reached is asked again, for half of the time that is left.
 *
 * Rejects with ConfigUnavailableError where it does not give them by then, and with ConfigError where it never will or
 * where they are not fit to be sent: the message names the parameter, and headers at most; neither the message nor its
 * causes hold a value. Nothing is kept: the next call asks SSM again.
 */
export async function readPostHeaders(
  parameter: string,
  time: { readonly remainingMs: number },
  ports: { readonly clock: Clock },
): Promise<Readonly<Record<string, string>>> {
  const place = `the SSM parameter ${parameter} (POST_HEADERS_PARAMETER)`;
  const entries = entriesOf(await readSecret(parameter, place, time, ports), place);
  const mistakes = mistakesIn(entries, place);
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('; '));
  // Each value is a string, as there is no mistake.
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value as string]));
}

async function readSecret(
  parameter: string,
  place: string,
  { remainingMs }: { readonly remainingMs: number },
  { clock }: { readonly clock: Clock },
): Promise<string | undefined> {
  // Not loaded unless they are needed: the client for SSM is a tenth of what a cold start would load.
  const [{ SSMClient }, { SSMProvider }] = await Promise.all([
    import('@aws-sdk/client-ssm'),
    import('@aws-lambda-powertools/parameters/ssm'),
  ]);
  const client = new SSMClient(CLIENT_CONFIG);
  const outOfTime = Promise.withResolvers<never>();
  let last: unknown;
  let isOver = false;
  const watch =
    <Args, Result>(next: (args: Args) => Promise<Result>) =>
    async (args: Args): Promise<Result> => {
      // An SDK that waits before it tries again does not hear that the time is over.
      if (isOver) throw new Error('There is no time for another request');
      return next(args).catch((error: unknown) => {
        last = error;
        throw error;
      });
    };
  const where = { name: 'watch', relation: 'after', toMiddleware: 'retryMiddleware' } as const;
  client.middlewareStack.addRelativeTo(watch, where);
  const cancel = clock.after(SHARE_OF_TIME * remainingMs, () => {
    isOver = true;
    outOfTime.reject(
      new ConfigUnavailableError(`Expected ${place} to be given in time, got ${nameOf(last)}`),
    );
  });
  const provider = new SSMProvider({ awsSdkV3Client: client });
  try {
    return await Promise.race([provider.get(parameter, { decrypt: true }), outOfTime.promise]);
  } catch (error) {
    if (error instanceof ConfigUnavailableError) throw error;
    // No `cause`: the SDK's error holds an answer that could not be parsed.
    const { cause } = error as Error;
    if (mayPass(cause))
      throw new ConfigUnavailableError(`Expected ${place} to be given, got ${nameOf(cause)}`);
    throw new ConfigError(
      `Expected ${place} to be one that the function may read and decrypt, got ${nameOf(cause)}`,
    );
  } finally {
    cancel();
    client.destroy();
  }
}

function mayPass(error: unknown): boolean {
  const { name, code, $fault, $metadata } = Object(error) as SdkError;
  const { httpStatusCode = 0 } = $metadata ?? {};
  const isOfServer = $fault === 'server' || httpStatusCode >= 500 || httpStatusCode === 429;
  return isOfServer || PASSING.test(String(name)) || SYSTEM_CODE.test(String(code));
}

function entriesOf(text: string | undefined, place: string): [name: string, value: unknown][] {
  const fail = (got: string): never => {
    throw new ConfigError(
      `Expected ${place} to be a JSON object of 1 to ${MAX_HEADERS} headers in at most ${MAX_CHARS} characters, got ${got}`,
    );
  };
  if (text === undefined) return fail('nothing');
  if (text.length > MAX_CHARS) return fail(`${text.length} characters`);
  let headers: unknown;
  try {
    headers = JSON.parse(text);
  } catch {
    return fail('no JSON'); // the parser's error quotes the text
  }
  if (!isRecord(headers)) return fail(kindOf(headers));
  const entries = Object.entries(headers);
  return entries.length === 0 || entries.length > MAX_HEADERS ? fail(`${entries.length} headers`) : entries;
}

function mistakesIn(entries: readonly [name: string, value: unknown][], place: string): string[] {
  const seen = new Set<string>();
  return entries.flatMap(([given, value], index) => {
    // Not quoted: what is no name may be a secret that went astray.
    if (!NAME.test(given))
      return [`Expected header ${index + 1} of ${place} to have an HTTP token as its name`];
    const name = given.toLowerCase();
    if (GOVERNED.test(name)) return [`Expected \`${name}\` not to be in ${place}: it is the request's own`];
    if (seen.has(name)) return [`Expected \`${name}\` to be in ${place} once, whatever its case`];
    seen.add(name);
    if (typeof value === 'string' && VALUE.test(value)) return [];
    const got = typeof value === 'string' ? 'another string' : kindOf(value);
    return [
      `Expected \`${name}\` in ${place} to be visible Latin-1 characters with blanks only between them, got ${got}`,
    ];
  });
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
