import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { listen } from './listen.ts';

/** A running stand-in for SSM's Parameter Store. */
export interface ParameterStore {
  /** What `AWS_ENDPOINT_URL_SSM` is to be: `http://127.0.0.1:<port>`. */
  readonly endpoint: string;
  /** Resolves when the port is free again; connections are cut. */
  close(): Promise<void>;
}

export interface ParameterStoreOptions {
  /** The parameter `/a/b` is what the file `<directory>/a/b.json` holds when it is asked for. */
  readonly directory: string;
}

/** An answer of the AWS JSON 1.1 protocol. */
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What GetParameter may be asked, before it is checked. */
interface GetParameterInput {
  readonly Name?: unknown;
  readonly WithDecryption?: unknown;
}

/** Serves SSM's GetParameter from files, every parameter as a SecureString; all else is UnknownOperationException. */
export async function startParameterStore({ directory }: ParameterStoreOptions): Promise<ParameterStore> {
  const server = createServer(async (request, response) => {
    const { status, body } = await answerTo(request, directory);
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
  });
  const { origin, close } = await listen(server);
  return { endpoint: origin, close };
}

async function answerTo(request: IncomingMessage, directory: string): Promise<Answer> {
  const body = await text(request);
  const operation = String(request.headers['x-amz-target']);
  if (request.method !== 'POST' || operation !== 'AmazonSSM.GetParameter')
    return failure('UnknownOperationException', `This stand-in knows GetParameter alone, not ${operation}`);
  let input: GetParameterInput;
  try {
    input = Object(JSON.parse(body));
  } catch {
    return failure('SerializationException', 'The body is not JSON');
  }
  const { Name: name, WithDecryption: decrypt } = input;
  if (typeof name !== 'string') return failure('ValidationException', 'Name is missing');
  // SSM would answer with the ciphertext, which a file is not.
  if (decrypt !== true)
    return failure('ValidationException', 'This stand-in takes WithDecryption: true alone');
  return readParameter(name, directory);
}

async function readParameter(name: string, directory: string): Promise<Answer> {
  const missing = failure('ParameterNotFound', `Parameter ${name} not found.`);
  const path = name.replace(/^\//, '');
  if (!path.split('/').every((segment) => /^(?!\.\.?$)[\w.-]+$/.test(segment))) return missing;
  const file = join(directory, `${path}.json`);
  try {
    const [value, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
    const parameter = {
      ARN: `arn:aws:ssm:us-east-1:000000000000:parameter/${path}`,
      DataType: 'text',
      LastModifiedDate: mtimeMs / 1000,
      Name: name,
      Type: 'SecureString',
      Value: value,
      Version: 1,
    };
    return { status: 200, body: { Parameter: parameter } };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))) return missing;
    return { ...failure('InternalServerError', String(error)), status: 500 };
  }
}

function failure(type: string, message: string): Answer {
  return { status: 400, body: { __type: type, message } };
}
