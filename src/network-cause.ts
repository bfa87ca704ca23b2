/** The libraries' own codes for what other clients report by the system's. */
const SYSTEM_CODES: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'ECONNRESET',
  UND_ERR_INFO: 'ECONNRESET',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'ECONNRESET',
  ERR_HTTP2_STREAM_ERROR: 'ECONNRESET',
  ERR_HTTP2_SESSION_ERROR: 'ECONNRESET',
  // A compressed body that ends too early.
  Z_BUF_ERROR: 'ECONNRESET',
  HTTPParserError: 'EPROTO',
  UND_ERR_CONNECT_TIMEOUT: 'ETIMEDOUT',
  UND_ERR_HEADERS_OVERFLOW: 'HPE_HEADER_OVERFLOW',
};

/** The code of what went wrong in the network: the system's, or the closest that it has. */
export function causeOf(error: Error & { code?: unknown }): string {
  const code = typeof error.code === 'string' ? error.code : error.name;
  return SYSTEM_CODES[code] ?? code;
}
