import { ConfigError } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';

const MAX_HEADERS = 32;
/** SSM's own limit, that of its advanced tier. */
const MAX_CHARS = 8_192;

/** An SSM that hangs costs 9 s at most, and two short pauses; one that throttles is asked again. */
const CLIENT_CONFIG = {
  maxAttempts: 3,
  requestHandler: {
    connectionTimeout: 1_000,
    requestTimeout: 2_000,
    // Ends a body that stalls: the other two timeouts end where the body begins.
    socketTimeout: 2_000,
    throwOnRequestTimeout: true,
  },
};

/** RFC 9110's token. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** White space at either end would be lost on HTTP/1.1, and HTTP/2 refuses it. */
const VALUE = /^[\x21-\x7e\xa0-\xff]+([\t ]+[\x21-\x7e\xa0-\xff]+)*$/;
const GOVERNED =
  /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|http2-settings|te|trailer|expect|accept-encoding|proxy-.*)$/;

/**
 * Reads the headers for the origin from an SSM parameter, a JSON object of strings. Resolves with them, checked, under
 * lower-case names. Rejects with ConfigError where SSM does not give them or where they are not fit to be sent: its
 * message names the parameter, and headers at most; neither the message nor its causes hold a value. Nothing is kept:
 * the next call asks SSM again.
 */
export async function readPostHeaders(parameter: string): Promise<Readonly<Record<string, string>>> {
  const place = `the SSM parameter ${parameter} (POST_HEADERS_PARAMETER)`;
  const entries = entriesOf(await readSecret(parameter, place), place);
  const mistakes = mistakesIn(entries, place);
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('; '));
  // Each value is a string, as there is no mistake.
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value as string]));
}

async function readSecret(parameter: string, place: string): Promise<string | undefined> {
  // Not loaded unless it is needed: the client for SSM is a tenth of what a cold start would load.
  const { SSMProvider } = await import('@aws-lambda-powertools/parameters/ssm');
  try {
    return await new SSMProvider({ clientConfig: CLIENT_CONFIG }).get(parameter, { decrypt: true });
  } catch (error) {
    // No `cause`: the SDK's error holds an answer that could not be parsed.
    throw new ConfigError(
      `Expected ${place} to be one that the function may read and decrypt, got ${nameOf(error)}`,
    );
  }
}

/** The names that SSM or the system has for what is behind an error of Powertools. */
function nameOf(error: unknown): string {
  const { name, code } = Object((error as Error).cause) as { name?: unknown; code?: unknown };
  const words = [
    ...(/^[A-Za-z]{1,64}$/.exec(String(name)) ?? []),
    ...(/^[A-Z][A-Z_]{1,63}$/.exec(String(code)) ?? []),
  ];
  return words.join(' ') || 'an error';
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
