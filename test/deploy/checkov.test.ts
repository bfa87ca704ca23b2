import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { everyParameter } from '../../scripts/template/check-template.ts';
import { findCheckov } from '../../scripts/template/checkov.ts';
import { applyConditions } from '../../scripts/template/conditions.ts';
import type { Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, type ServiceCopy, seeded } from './packaging.ts';

/** Where it cannot be installed, the reason is printed, and what needs it is skipped. */
const checkov = await findCheckov();

const projectConfig = join(import.meta.dirname, '../../.checkov.yaml');

test('without Python, checkov is left out and the reason printed, except in CI', async () => {
  const warn = vi.spyOn(console, 'warn').mockReturnValue();
  const env = { PATH: '/nowhere' };
  expect(await findCheckov(env)).toBeUndefined();
  expect(warn.mock.calls).toStrictEqual([
    ['checkov is left out, as it cannot be installed: spawn python3 ENOENT'],
  ]);
  warn.mockRestore();
  await expect(findCheckov({ ...env, CI: 'true' })).rejects.toThrow(
    'checkov cannot be installed: spawn python3 ENOENT',
  );
});

const blocks = 'ServerlessDeploymentBucket.Properties.PublicAccessBlockConfiguration';

/** Each at a place of its own, as they are all seeded at once: a run of checkov takes seconds. */
const faults: readonly (Fault & { readonly rule: string })[] = [
  {
    fault: 'a bucket open to public lists of access',
    at: `${blocks}.BlockPublicAcls`,
    put: false,
    rule: 'CKV_AWS_53',
  },
  {
    fault: 'a bucket open to public policies',
    at: 'ResultsBucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy',
    put: false,
    rule: 'CKV_AWS_54',
  },
  {
    fault: 'a role for anybody',
    at: 'FetchRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal',
    put: { AWS: '*' },
    found: ['FetchRole.Properties.AssumeRolePolicyDocument.Statement.[0].Principal.AWS'],
    rule: 'CKV_AWS_60',
  },
  {
    fault: 'a role for everything',
    at: 'PlanRole.Properties.Policies.0.PolicyDocument.Statement.0.Action',
    put: '*',
    found: ['PlanRole.Properties.Policies.0.PolicyDocument'],
    rule: 'CKV_AWS_63',
  },
  {
    fault: 'logs that are kept for ever',
    at: 'ApiLogGroup.Properties.RetentionInDays',
    put: undefined,
    rule: 'CKV_AWS_66',
  },
  {
    fault: 'a secret in a variable',
    at: 'ApiLambdaFunction.Properties.Environment.Variables.KEY',
    put: 'AKIAIOSFODNN7EXAMPLE',
    rule: 'CKV_AWS_45',
  },
  {
    fault: 'an API without an access log',
    at: 'HttpApiStage.Properties.AccessLogSettings',
    put: undefined,
    found: ['HttpApiStage.Properties.AccessLogSettings.DestinationArn'],
    rule: 'CKV_AWS_95',
  },
  {
    fault: 'a runtime that AWS has given up',
    at: 'FetchLambdaFunction.Properties.Runtime',
    put: 'nodejs16.x',
    rule: 'CKV_AWS_363',
  },
];

describe.skipIf(checkov === undefined)('checkov', () => {
  let service: ServiceCopy;
  let packaged: readonly (readonly string[])[];
  let found: readonly string[];
  let unfiltered: readonly string[];
  const findingsIn = async (template: Template, config?: string): Promise<string[]> => {
    const findings = (await checkov?.(applyConditions(template), config)) ?? [];
    return findings.map(({ place, rule }) => `${place} ${rule}`).sort();
  };
  beforeAll(async () => {
    service = await copyService();
    const prod = await service.packaged('prod');
    const all = await service.packaged('prod', everyParameter, 'every-parameter');
    packaged = [await findingsIn(prod), await findingsIn(all)];
    found = await findingsIn(faults.reduce((template, { at, put }) => seeded(template, at, put), prod));
    const { 'skip-check': _, ...options } = parse(await readFile(projectConfig, 'utf8'));
    const config = join(service.dir, 'checkov.yaml');
    await writeFile(config, stringify(options));
    unfiltered = await findingsIn(prod, config);
  }, 240_000);
  afterAll(() => service[Symbol.asyncDispose]());

  it('finds nothing in what is packaged, also with every parameter set', () => {
    expect(packaged).toStrictEqual([[], []]);
  });

  it.each(faults)('finds $fault', ({ at, found: places = [at], rule }) => {
    expect(found).toStrictEqual(expect.arrayContaining(places.map((place) => `${place} ${rule}`)));
  });

  it('has nothing switched off that it would not find', async () => {
    const { 'skip-check': skipped } = parse(await readFile(projectConfig, 'utf8'));
    expect([...new Set(unfiltered.map((finding) => finding.split(' ')[1]))].sort()).toStrictEqual(
      skipped.toSorted(),
    );
  });

  it('says so where it does not read the template', { timeout: 60_000 }, async () => {
    await expect(checkov?.({ Resources: 'none' })).rejects.toThrow('checkov could not read the template: ');
  });
});
