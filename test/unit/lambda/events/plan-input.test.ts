import { describe, expect, test } from 'vitest';
import { BadInputError } from '../../../../src/base/errors.ts';
import { parseManifestLocation } from '../../../../src/batch/manifest/location.ts';
import { parseEvent, recognizeEvent } from '../../../../src/lambda/events/event.ts';
import { parsePlanInput } from '../../../../src/lambda/events/plan-input.ts';

describe('the input of an execution', () => {
  const parse = (input: unknown, execution: unknown = 'execution-1') =>
    parsePlanInput(input, execution, 1_000);

  test('has ids, and takes the name of the execution for the run', () => {
    expect(parse({ ids: [1, { from: 3, to: 9 }] })).toStrictEqual({
      runId: 'execution-1',
      partSize: 5_000,
      form: { kind: 'ids', ids: [1, { from: 3, to: 9 }], returnExceptions: true, runId: undefined },
    });
  });

  test('has a manifest, a run id and a part size', () => {
    expect(parse({ manifest: 's3://lists/ids.csv', runId: 'run', partSize: 10 })).toStrictEqual({
      runId: 'run',
      partSize: 10,
      form: {
        kind: 'manifest',
        location: parseManifestLocation('s3://lists/ids.csv', 'manifest'),
        returnExceptions: true,
        runId: 'run',
      },
    });
  });

  test('has the run id of a run that is to be redriven', () => {
    expect(parse({ redrive: 'run' })).toStrictEqual({
      runId: 'run',
      partSize: 5_000,
      form: { kind: 'redrive', earlierRunId: 'run', returnExceptions: true, runId: undefined },
    });
  });

  test.each([
    [null, 'Expected `input` to be an object with "ids", "manifest" or "redrive", got null'],
    [[1], 'Expected `input` to be an object with "ids", "manifest" or "redrive", got an array of 1'],
    [{}, 'Expected `ids` to be an array of ids, got nothing'],
    [{ runId: 'run' }, 'Expected `ids` to be an array of ids, got nothing'],
    [
      { ids: [], redrive: 'run' },
      'Expected `input` to have one of ids, manifest, redrive, got ids and redrive',
    ],
    [
      { redrive: 'x'.repeat(104) },
      `Expected \`redrive\` to be at most 103 characters long, got "${'x'.repeat(80)}…"`,
    ],
    [{ redrive: 'run', runId: 'again' }, 'Expected `runId` to be left out of a redrive, got "again"'],
    [{ redrive: 'run', partSize: 7 }, 'Expected `partSize` to be left out of a redrive, got 7'],
    [
      { redrive: 7 },
      'Expected `redrive` to be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or ".."), got 7',
    ],
    [
      { ids: [], returnExceptions: true },
      'Expected `input` to be an object with no keys but ids, manifest, redrive, runId, partSize, got {"returnExceptions":true}',
    ],
    [
      { ids: [], manifest: 's3://lists/ids.csv' },
      'Expected `input` to have one of ids, manifest, redrive, got ids and manifest',
    ],
    [{ ids: 7 }, 'Expected `ids` to be an array of ids, got 7'],
    [{ ids: [{ from: 1, to: 1_001 }] }, 'Expected `ids` to hold at most 1000 ids (MAX_IDS), got 1001'],
    [{ ids: [], partSize: 0 }, 'Expected `partSize` to be an integer from 1 to 100000, got 0'],
    [{ ids: [], partSize: 1.5 }, 'Expected `partSize` to be an integer from 1 to 100000, got 1.5'],
    [{ ids: [], partSize: '9' }, 'Expected `partSize` to be an integer from 1 to 100000, got "9"'],
    [{ ids: [], partSize: 100_001 }, 'Expected `partSize` to be an integer from 1 to 100000, got 100001'],
    [
      { ids: [], runId: 'a/b' },
      'Expected `runId` to be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ - (not "." or ".."), got "a/b"',
    ],
    [
      { ids: [], runId: 'x'.repeat(104) },
      `Expected \`runId\` to be at most 103 characters long, got "${'x'.repeat(80)}…"`,
    ],
  ])('%j is refused with the place, what was expected and what came', (input, message) => {
    const parsing = () => parse(input);
    expect(parsing).toThrow(BadInputError);
    expect(parsing).toThrow(message);
  });

  test.each(['big.manifest', 'big.progress', 'big.part-000001', 'big.redrive-1'])(
    'the run of the id %s would be taken for what is kept of another one',
    (runId) => {
      const message = 'to be at most 116 characters that end in none of .manifest,';
      expect(() => parse({ ids: [], runId })).toThrow(`Expected \`runId\` ${message}`);
      expect(() => parse({ ids: [] }, runId)).toThrow(`Expected \`the name of the execution\` ${message}`);
    },
  );

  test('may have what Step Functions adds to a nested start, which is passed over', () => {
    const linked = { AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: 'arn:aws:states:us-east-1:1:execution:a:b' };
    for (const input of [{ ids: [1], partSize: 7, runId: 'run' }, { redrive: 'run' }])
      expect(parse({ ...linked, ...input })).toStrictEqual(parse(input));
  });

  test.each([65, 4_481, 100_000])('nested %i deep is refused', (levels) => {
    const deep = JSON.parse(`${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`);
    for (const input of [{ ids: deep }, { ids: [1], runId: deep }, { ids: [1], key: deep }])
      expect(() => parse(input)).toThrow(
        new BadInputError('Expected `input` to be nested at most 64 deep, got more'),
      );
  });

  test('the name of an execution that cannot be a run id asks for one', () => {
    expect(() => parse({ ids: [] }, 'a+b')).toThrow('Expected `the name of the execution` to be 1 to 128');
  });
});

describe('the same mistake reads the same from fetch and from plan:', () => {
  const messageOf = (parse: () => unknown): string => {
    try {
      parse();
    } catch (error) {
      return (error as BadInputError).message;
    }
    expect.fail('It was taken');
  };
  const keys = {
    fetch: 'ids, manifest, redrive, returnExceptions, runId',
    plan: 'ids, manifest, redrive, runId, partSize',
  };

  test.each([
    '{}',
    '{"ids":[1],"redrive":"x"}',
    '{"ids":null,"redrive":"x"}',
    '{"redrive":"r","manifest":"","ids":[]}',
    '{"ids":[1],"manifest":"s3://bucket/ids.csv"}',
    '{"ids":null}',
    '{"ids":{}}',
    '{"ids":[1,[2]]}',
    '{"ids":[{"from":3,"to":1}]}',
    '{"ids":[{"from":1,"to":1001}]}',
    '{"ids":[1],"runId":null}',
    '{"ids":[1],"runId":"a/b"}',
    '{"ids":[1],"Ids":[2]}',
    '{"ids":[1],"constructor":1}',
    '{"manifest":null}',
    '{"manifest":"s3://bucket/ids.txt"}',
    '{"manifest":"s3://bucket/ids.csv","runId":7}',
    '{"redrive":null}',
    '{"redrive":"../r"}',
    '{"redrive":"r","runId":"s"}',
  ])('%s', (json) => {
    const form = JSON.parse(json);
    const fetch = messageOf(() =>
      parseEvent(recognizeEvent(form), { maxIds: 1_000, postIds: [], apiBasePath: '' }, 'request-1'),
    );
    const plan = messageOf(() => parsePlanInput(form, 'execution-1', 1_000));
    expect(plan).toBe(fetch.replace('`event`', '`input`').replace(keys.fetch, keys.plan));
  });

  // As an event, each of them is of no kind; as the body of a request, it is a base form.
  test.each(['null', '[]', '[1]', '7', '"ids"', '{"id":1}', '{"__proto__":{"ids":[1]}}'])('%s', (body) => {
    const event = {
      version: '2.0',
      rawPath: '/batches',
      requestContext: { http: { method: 'POST' } },
      headers: {},
      body,
    };
    const fetch = messageOf(() =>
      parseEvent(recognizeEvent(event), { maxIds: 1_000, postIds: [], apiBasePath: '' }, 'request-1'),
    );
    const plan = messageOf(() => parsePlanInput(JSON.parse(body), 'execution-1', 1_000));
    expect(plan).toBe(fetch.replace('`body`', '`input`').replace(keys.fetch, keys.plan));
  });
});
