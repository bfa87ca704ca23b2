/** The libraries' own codes for what other clients report by the system's. */
const SYSTEM_CODES: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'ECONNRESET',
  UND_ERR_INFO: 'ECONNRESET',
  ERR_HTTP2_STREAM_ERROR: 'ECONNRESET',
  ERR_HTTP2_STREAM_CANCEL: 'ECONNRESET',
  ERR_HTTP2_SESSION_ERROR: 'ECONNRESET',
  // A compressed body that ends too early.
  Z_BUF_ERROR: 'ECONNRESET',
  UND_ERR_HEADERS_OVERFLOW: 'HPE_HEADER_OVERFLOW',
};

/**
 * What undici's parser says of an answer, by llhttp's code for it: of an error of llhttp, undici keeps the words alone.
 * The first that fits counts.
 */
const PARSER_CODES: readonly (readonly [words: RegExp, code: string])[] = [
  // The connection has ended before the body.
  [/Invalid EOF state/, 'ECONNRESET'],
  [/Expected HTTP\/|Invalid word/, 'HPE_INVALID_CONSTANT'],
  [/Duplicate Content-Length|Content-Length can't be/, 'HPE_UNEXPECTED_CONTENT_LENGTH'],
  [/Transfer-Encoding/, 'HPE_INVALID_TRANSFER_ENCODING'],
  [/Content-Length/, 'HPE_INVALID_CONTENT_LENGTH'],
  [/expected CR/i, 'HPE_CR_EXPECTED'],
  [/expected LF/i, 'HPE_LF_EXPECTED'],
  [/chunk/i, 'HPE_INVALID_CHUNK_SIZE'],
  [/status/, 'HPE_INVALID_STATUS'],
  [/version|Expected dot/, 'HPE_INVALID_VERSION'],
  [/header/, 'HPE_INVALID_HEADER_TOKEN'],
];

/** A code, and no text that an origin could have sent. */
const CODE = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
const REFUSED = /\bNGHTTP2_REFUSED_STREAM$|"GOAWAY" frame received with code 0$/;
const CALM = /\bNGHTTP2_ENHANCE_YOUR_CALM$|"GOAWAY" frame received with code 11$/;

/**
 * What went wrong in the network, in one word: the system's code, or llhttp's for an answer that is no HTTP
 * (`HPE_INVALID_HEADER_TOKEN`, say). `hasStatus` says whether the status of an answer had come before. The word is one
 * of the libraries' or ours, never the origin's.
 */
export function causeOf(error: Error & { code?: unknown }, hasStatus: boolean): string {
  if (asksForCalm(error)) return 'ENHANCE_YOUR_CALM';
  const { name, message, code } = error;
  if (name === 'HTTPParserError') return PARSER_CODES.find(([words]) => words.test(message))?.[1] ?? 'EPROTO';
  // undici takes whatever the parser refuses behind a Content-Length for a body that does not have that length.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return hasStatus ? 'ECONNRESET' : 'INVALID_HEADER';
  if (message === 'bad response') return 'UNEXPECTED_CONTINUE';
  if (message === 'bad upgrade') return 'UNEXPECTED_UPGRADE';
  const word = typeof code === 'string' ? code : name;
  return SYSTEM_CODES[word] ?? (CODE.test(word) ? word : 'UNKNOWN');
}

/** Whether an HTTP/2 server says that it is asked too much (RFC 9113, 7). */
export function asksForCalm({ message }: Error): boolean {
  return CALM.test(message);
}

/** Whether an HTTP/2 server says that it has not looked at a request (RFC 9113, 8.7). */
export function isRefused({ message }: Error): boolean {
  return REFUSED.test(message);
}

/** Whether a connection has ended because of bytes that came when no request was in flight on it. */
export function isUnsolicited({ name, message }: Error): boolean {
  return name === 'HTTPParserError' || message === 'bad response';
}
