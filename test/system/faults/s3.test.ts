import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  accessDenied,
  conflict,
  cutShort,
  endEarly,
  hold,
  internalError,
  loseAnswer,
  operationAborted,
  passOn,
  reset,
  type S3Fault,
  type S3Operation,
  slowDown,
  stall,
} from '../../support/misbehaving-s3.ts';
import {
  httpResponse,
  type MisbehavingServer,
  startMisbehavingServer,
} from '../../support/misbehaving-server.ts';
import { outlast } from '../../support/outlast.ts';
import { HEALTHY, startWorld, type World, well } from './world.ts';

const small = [1, 2, 'bad', 3, 4];
/** Six of them are a document of two parts. */
const large = [1, 2, 3, 4, 5, 6];
const LARGE = `"${'x'.repeat(1_000_000)}"`;
/** The times of three tries without an answer: of these, 60 s are all that a request has. */
const SILENCE_MS = 20_000;
const TRIES = 3;
const LOOK = 'GetObject bytes=-65536';
const PARTS = ['CreateMultipartUpload', 'UploadPart', 'UploadPart', 'CompleteMultipartUpload'];
const never = hold(new Promise(() => {}));

let world: World;
let upstream: MisbehavingServer;
beforeAll(async () => {
  world = await startWorld();
});
beforeEach(async () => {
  upstream = await startMisbehavingServer(({ socket }) => {
    socket.write(httpResponse(200, ids === large ? LARGE : HEALTHY));
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await upstream.idle();
  await upstream.stop();
  await world.reset();
});
afterAll(() => world.close());

let ids: (number | string)[];
const run = (of: (number | string)[]) => {
  ids = of;
  return world.run({ origin: upstream.origin, ids });
};

/** The same, where the time of a request goes by that fails again and again. */
async function runOutlasted(of: (number | string)[]) {
  const running = run(of);
  // The clock is that of this run from then on.
  await world.s3.asked('GetObject');
  return outlast(running, world.s3Clock);
}

/** The same, where S3 leaves so many requests for an operation without an answer; the time of each is let go by. */
async function runWithout(answers: number, operation: S3Operation) {
  const running = run(small);
  const runs = watch(running);
  for (let tries = 1; tries <= answers; tries++) {
    await world.s3.asked(operation, tries);
    expect([world.s3.operations.filter((it) => it === operation).length, runs.settled]).toStrictEqual([
      tries,
      false,
    ]);
    world.s3Clock.advance(SILENCE_MS);
  }
  return running;
}

describe('passes: the document is stored, and its outcomes are those of the posts', () => {
  test.each<[string, S3Operation, readonly S3Fault[], readonly string[]]>([
    [
      '503 twice at the look for an earlier one',
      'GetObject',
      [slowDown, slowDown],
      [LOOK, LOOK, LOOK, 'PutObject'],
    ],
    ['a reset at the look for an earlier one', 'GetObject', [reset], [LOOK, LOOK, 'PutObject']],
    ['503 twice', 'PutObject', [slowDown, slowDown], [LOOK, 'PutObject', 'PutObject', 'PutObject']],
    ['a reset', 'PutObject', [reset], [LOOK, 'PutObject', 'PutObject']],
    ['409', 'PutObject', [conflict], [LOOK, 'PutObject', 'PutObject']],
    ['409 of another kind', 'PutObject', [operationAborted], [LOOK, 'PutObject', 'PutObject']],
    [
      '412 after its own success, whose answer was lost',
      'PutObject',
      [loseAnswer],
      [LOOK, 'PutObject', 'PutObject', LOOK],
    ],
  ])('%s', async (_name, operation, faults, operations) => {
    world.s3.next(operation, ...faults);
    await world.expectDocument(await run(small), well());
    expect(world.s3.operations).toStrictEqual(operations);
  });

  test.each<[string, (number | string)[], S3Operation, S3Fault]>([
    ['500', small, 'PutObject', internalError],
    ['a reset', small, 'PutObject', reset],
    ['503', small, 'GetObject', slowDown],
    ['500 at the start of parts', large, 'CreateMultipartUpload', internalError],
    ['a reset of a part', large, 'UploadPart', reset],
    ['503 at the end of parts', large, 'CompleteMultipartUpload', slowDown],
  ])('%s for as long as half a minute', async (_name, of, operation, fault) => {
    world.s3.always(operation, async (exchange) => {
      if (world.s3Clock.now() >= 30_000) return passOn(exchange);
      await fault(exchange);
    });
    await world.expectDocument(
      await runOutlasted(of),
      of.map(() => well(of === large ? LARGE : HEALTHY)),
    );
  });

  test('an answer that does not come in time', async () => {
    world.s3.next('PutObject', never);
    await world.expectDocument(await runWithout(1, 'PutObject'), well());
    expect(world.s3.operations).toStrictEqual([LOOK, 'PutObject', 'PutObject']);
  });

  test('an answer that is slow, but comes', async () => {
    const released = Promise.withResolvers<void>();
    world.s3.next('PutObject', hold(released.promise));
    const running = run(small);
    const runs = watch(running);
    await world.s3.asked('PutObject');
    await quiet();
    expect(runs.settled).toBe(false);
    released.resolve();
    await world.expectDocument(await running, well());
    expect(world.s3.operations).toStrictEqual([LOOK, 'PutObject']);
  });

  test.each<[string, S3Operation, readonly S3Fault[], readonly string[]]>([
    ['503 twice at a part', 'UploadPart', [slowDown, slowDown], again('UploadPart', 2)],
    ['a reset at a part', 'UploadPart', [reset], again('UploadPart', 1)],
    ['the lost answer of a part', 'UploadPart', [loseAnswer], again('UploadPart', 1)],
    [
      '503 twice at the start',
      'CreateMultipartUpload',
      [slowDown, slowDown],
      again('CreateMultipartUpload', 2),
    ],
    [
      '503 twice at the end',
      'CompleteMultipartUpload',
      [slowDown, slowDown],
      again('CompleteMultipartUpload', 2),
    ],
    ['409 at the end', 'CompleteMultipartUpload', [conflict], again('CompleteMultipartUpload', 1)],
    [
      '409 of another kind at the end',
      'CompleteMultipartUpload',
      [operationAborted],
      again('CompleteMultipartUpload', 1),
    ],
  ])('%s', async (_name, operation, faults, operations) => {
    world.s3.next(operation, ...faults);
    await world.expectDocument(
      await run(large),
      large.map(() => well(LARGE)),
    );
    expect(world.s3.operations).toStrictEqual([LOOK, ...operations]);
  });

  test('the lost answer of the end of the parts', async () => {
    world.s3.next('CompleteMultipartUpload', loseAnswer);
    await world.expectDocument(
      await run(large),
      large.map(() => well(LARGE)),
    );
    expect(await world.stored()).toHaveLength(1);
  });
});

describe('passes: a run that finds its own document, as the answer to its write was lost', () => {
  const OWN = [LOOK, 'PutObject', 'PutObject', LOOK];
  const lose = (...faults: readonly S3Fault[]): void => {
    world.s3.next('PutObject', loseAnswer);
    world.s3.next('GetObject', passOn, ...faults);
  };

  test('where the body breaks off, or ends before its end', async () => {
    lose(cutShort, endEarly);
    await world.expectDocument(await run(small), well());
    expect(world.s3.operations).toStrictEqual([...OWN, LOOK, LOOK]);
  });

  test('where nothing comes any more in the middle of the body', async () => {
    lose(stall);
    const running = run(small);
    await world.s3.asked('GetObject', 2);
    world.s3Clock.advance(SILENCE_MS);
    await world.expectDocument(await running, well());
    expect(world.s3.operations).toStrictEqual([...OWN, LOOK]);
  });
});

describe('fails: the run says so, stores nothing, and leaves no part', () => {
  const location = expect.stringMatching(/^s3:\/\/results\/runs\/run-\d+\.json could not be /);

  test.each<[string, readonly (number | string)[], S3Operation, S3Fault, string]>([
    ['403 at the look for an earlier one', small, 'GetObject', accessDenied, 'read: AccessDenied'],
    ['503 at each look for an earlier one', small, 'GetObject', slowDown, 'read: SlowDown'],
    ['403', small, 'PutObject', accessDenied, 'written: AccessDenied'],
    ['503 each time', small, 'PutObject', slowDown, 'written: SlowDown'],
    ['a reset each time', small, 'PutObject', reset, 'written: ECONNRESET'],
    ['no answer each time', small, 'PutObject', never, 'written: S3 did not answer in time'],
    ['409 each time', small, 'PutObject', conflict, 'written: another write ran into it'],
    ['403 at the start of parts', large, 'CreateMultipartUpload', accessDenied, 'written: AccessDenied'],
    ['403 at a part', large, 'UploadPart', accessDenied, 'written: AccessDenied'],
    ['a reset of a part each time', large, 'UploadPart', reset, 'written: ECONNRESET'],
    ['403 at the end of parts', large, 'CompleteMultipartUpload', accessDenied, 'written: AccessDenied'],
  ])('%s', async (_name, of, operation, fault, said) => {
    world.s3.always(operation, fault);
    const running = fault === never ? runWithout(TRIES, operation) : runOutlasted(of as (number | string)[]);
    const error = await running.catch((it) => it);
    expect(error).toBeInstanceOf(StoreError);
    expect(error.message).toStrictEqual(location);
    expect(error.message.replace(/.* could not be /, '')).toBe(said);
    expect(await world.stored()).toStrictEqual([]);
    // Where it cannot be looked for, nothing is fetched.
    if (operation === 'GetObject') expect(upstream.requests).toStrictEqual([]);
    else expect(await world.claim()).toMatchObject({ state: 'failed', problem: { detail: error.message } });
  });
});

/** The operations of a document of two parts, one of which is asked for `times` more. */
function again(operation: S3Operation, times: number): string[] {
  return PARTS.toSpliced(PARTS.indexOf(operation), 0, ...Array<string>(times).fill(operation));
}
