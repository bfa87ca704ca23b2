import { type S3Store, type S3StoreOptions, startS3Store } from '../../local/world/s3.ts';
import { startVersitygw } from '../system/stores/versitygw.ts';

const name = process.env.S3_STORE ?? 'embedded';

/** Whether the store answers an upload that is completed a second time as it did the first, as S3 itself does. */
export const completesTwice = name === 'versitygw';

/**
 * Starts the store that tests of S3 run against: the embedded one, or that which `S3_STORE` names, for a run of the
 * same tests against another (`.ci/run`).
 */
export function startStore(options: S3StoreOptions): Promise<S3Store> {
  if (name !== 'embedded' && name !== 'versitygw')
    throw new Error(`Expected S3_STORE to be embedded or versitygw, got ${name}`);
  return name === 'versitygw' ? startVersitygw(options) : startS3Store(options);
}
