import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Answer } from './built-functions.ts';

/** An invocation that Lambda itself refuses, or fails: the error that its API answers. */
export interface Refused {
  readonly status: number;
  readonly refused: string;
}

export interface CloudBridgeOptions {
  /** `name` is the last part of the function's Arn. */
  readonly invoke: (name: string, event: unknown) => Promise<Answer | Refused>;
  /** The text of an object. */
  readonly read: (bucket: string, key: string) => Promise<string>;
}

/** What a state machine needs of AWS, on 127.0.0.1. */
export interface CloudBridge {
  readonly port: number;
  /** The keys that were written. */
  readonly written: readonly string[];
  close(): Promise<void>;
}

/**
 * Speaks as much of the APIs of Lambda (Invoke) and S3 (GetObject, PutObject) as a state machine asks for. Objects of
 * JSON lines are read as a JSON array, for an interpreter whose item reader knows no other.
 */
export async function startCloudBridge({ invoke, read }: CloudBridgeOptions): Promise<CloudBridge> {
  const written: string[] = [];
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    const reply = await replyTo(request, body).catch((error: Error) => ({
      status: 500,
      headers: {},
      text: error.message,
    }));
    response.writeHead(reply.status, { ...reply.headers, 'content-length': Buffer.byteLength(reply.text) });
    response.end(reply.text);
  });

  async function replyTo({ method, url = '' }: IncomingMessage, body: Buffer) {
    const path = decodeURIComponent(new URL(url, 'http://bridge').pathname);
    const [, functionName] = /^\/2015-03-31\/functions\/(?:.*:)?([^/:]+)\/invocations$/.exec(path) ?? [];
    if (functionName !== undefined) return invocationReply(await invoke(functionName, JSON.parse(`${body}`)));
    const [, bucket = '', key = ''] = /^\/([^/]+)\/(.+)$/.exec(path) ?? [];
    if (method === 'PUT') {
      written.push(key);
      return { status: 200, headers: { etag: '"0"' }, text: '' };
    }
    const text = await read(bucket, key);
    const lines = text.split('\n').filter((line) => line !== '');
    return { status: 200, headers: {}, text: key.endsWith('.jsonl') ? `[${lines.join()}]` : text };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port, // a TCP server's address is no string
    written,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function invocationReply(answer: Answer | Refused) {
  const json = { 'content-type': 'application/json', 'x-amzn-requestid': randomUUID() };
  if ('refused' in answer) {
    const headers = { ...json, 'x-amzn-errortype': answer.refused };
    return { status: answer.status, headers, text: '{"Type":"Service","Message":"Refused"}' };
  }
  if ('failed' in answer)
    return {
      status: 200,
      headers: { ...json, 'x-amz-function-error': 'Unhandled' },
      text: JSON.stringify({ ...answer.failed, trace: [] }),
    };
  return { status: 200, headers: json, text: JSON.stringify(answer.returned ?? null) };
}
