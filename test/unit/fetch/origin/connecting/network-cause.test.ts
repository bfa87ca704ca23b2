import { describe, expect, test } from 'vitest';
import {
  asksForCalm,
  causeOf,
  isUnsolicited,
} from '../../../../../src/fetch/origin/connecting/network-cause.ts';

const errorOf = (message: string, more: object = {}): Error => Object.assign(new Error(message), more);
const parserError = (reason: string): Error =>
  errorOf(`Response does not match the HTTP/1.1 protocol (${reason})`, {
    name: 'HTTPParserError',
    code: 'HPE_undefined',
  });

describe('the cause of a failure', () => {
  // The reasons that undici's build of llhttp has for answers.
  test.each([
    ['Invalid EOF state', 'ECONNRESET'],
    ['Expected HTTP/, RTSP/ or ICE/', 'HPE_INVALID_CONSTANT'],
    ['Duplicate Content-Length', 'HPE_UNEXPECTED_CONTENT_LENGTH'],
    ["Content-Length can't be present with Transfer-Encoding", 'HPE_UNEXPECTED_CONTENT_LENGTH'],
    ["Transfer-Encoding can't be present with Content-Length", 'HPE_INVALID_TRANSFER_ENCODING'],
    ['Invalid `Transfer-Encoding` header value', 'HPE_INVALID_TRANSFER_ENCODING'],
    ['Content-Length overflow', 'HPE_INVALID_CONTENT_LENGTH'],
    ['Empty Content-Length', 'HPE_INVALID_CONTENT_LENGTH'],
    ['Invalid character in Content-Length', 'HPE_INVALID_CONTENT_LENGTH'],
    ['Missing expected CR after header value', 'HPE_CR_EXPECTED'],
    ['Missing expected LF after header value', 'HPE_LF_EXPECTED'],
    ['Expected LF after headers', 'HPE_LF_EXPECTED'],
    ['Chunk size overflow', 'HPE_INVALID_CHUNK_SIZE'],
    ['Invalid character in chunk size', 'HPE_INVALID_CHUNK_SIZE'],
    ['Invalid character in chunk extensions', 'HPE_INVALID_CHUNK_SIZE'],
    ['Invalid status code', 'HPE_INVALID_STATUS'],
    ['Invalid response status', 'HPE_INVALID_STATUS'],
    ['Invalid HTTP version', 'HPE_INVALID_VERSION'],
    ['Expected dot', 'HPE_INVALID_VERSION'],
    ['Invalid header token', 'HPE_INVALID_HEADER_TOKEN'],
    ['Invalid header value char', 'HPE_INVALID_HEADER_TOKEN'],
    ['Something new', 'EPROTO'],
  ])("is llhttp's code for «%s»: %s", (reason, code) => {
    expect(causeOf(parserError(reason), false)).toBe(code);
  });

  test.each([
    ['ECONNREFUSED', 'ECONNREFUSED'],
    ['CERT_HAS_EXPIRED', 'CERT_HAS_EXPIRED'],
    ['UND_ERR_SOCKET', 'ECONNRESET'],
    ['ERR_HTTP2_STREAM_CANCEL', 'ECONNRESET'],
    ['UND_ERR_HEADERS_OVERFLOW', 'HPE_HEADER_OVERFLOW'],
  ])("is the system's code for %s: %s", (code, cause) => {
    expect(causeOf(errorOf('', { code }), false)).toBe(cause);
  });

  test('is the name of an error without a code, and no text that may come from elsewhere', () => {
    expect(causeOf(new TypeError('x'), false)).toBe('TypeError');
    expect(causeOf(errorOf('', { code: 'Bearer 3f1c9e' }), false)).toBe('UNKNOWN');
    expect(causeOf(errorOf('', { code: 'x'.repeat(65) }), false)).toBe('UNKNOWN');
  });

  test('is the header, not the body, where no status has come', () => {
    const mismatch = errorOf('', { code: 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' });
    expect([causeOf(mismatch, false), causeOf(mismatch, true)]).toStrictEqual([
      'INVALID_HEADER',
      'ECONNRESET',
    ]);
  });
});

test.each([
  ['Stream closed with error code NGHTTP2_ENHANCE_YOUR_CALM', true],
  ['HTTP/2: "GOAWAY" frame received with code 11', true],
  ['HTTP/2: "GOAWAY" frame received with code 1', false],
  ['Stream closed with error code NGHTTP2_INTERNAL_ERROR', false],
])('«%s» asks for calm: %s', (message, asks) => {
  expect(asksForCalm(new Error(message))).toBe(asks);
});

test.each([
  [parserError('Expected HTTP/'), true],
  [errorOf('bad response', { code: 'UND_ERR_SOCKET' }), true],
  [errorOf('other side closed', { code: 'UND_ERR_SOCKET' }), false],
  [errorOf('read ECONNRESET', { code: 'ECONNRESET' }), false],
])('an idle connection that ended with %s had bytes that nobody asked for: %s', (error, expected) => {
  expect(isUnsolicited(error)).toBe(expected);
});
