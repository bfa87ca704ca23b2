import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkAccess } from './access-policies.ts';
import { findCfnLint } from './cfn-lint.ts';
import { findCheckov } from './checkov.ts';
import { applyConditions } from './conditions.ts';
import { checkHandOver } from './hand-over.ts';
import { checkHouseRules } from './house-rules.ts';
import { checkMonitoring } from './monitoring.ts';
import { checkStateMachines } from './state-machines.ts';
import type { Finding, Template } from './template.ts';

const projectDir = join(import.meta.dirname, '../..');

/** Every parameter with a value of its own, so that the template has all that depends on one. */
export const everyParameter = {
  resultsBucket: 'my-results',
  resultsPrefix: 'posts/',
  postUrl: 'https://api.example.com/posts/{id}',
  postIds: '1-20',
  concurrency: '20',
  maxIds: '20000',
  apiMaxIds: '50',
  asyncMaxIds: '30000',
  planMaxIds: '5000000',
  maxManifestBytes: '100000000',
  maxAttempts: '3',
  attemptTimeoutMs: '2000',
  maxBodyBytes: '65536',
  writeReserveMs: '20000',
  apiWriteReserveMs: '4000',
  adaptive: 'off',
  rateLimit: '95.5',
  retryBudget: '10',
  hedge: 'on',
  output: 'ndjson.gz',
  report: 'html',
  originConcurrency: '200',
  manifestBucket: 'my-lists',
  apiBasePath: '/api/v1',
  postHeadersParameter: '/batch-fetcher/post-headers',
  postHeadersKeyArn: 'arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  s3Endpoint: 'https://s3.us-east-1.amazonaws.com',
  s3RequestChecksums: 'WHEN_REQUIRED',
  s3ResponseChecksums: 'WHEN_REQUIRED',
  serviceName: 'posts',
  metricsNamespace: 'Posts',
  metricsDisabled: 'true',
  logLevel: 'DEBUG',
  logSampleRate: '0.1',
  logEvent: 'true',
  schedule: 'rate(1 hour)',
  scheduleEnabled: 'true',
  documentsExpireAfterDays: '60',
  logRetentionDays: '30',
  alarmTopics: 'arn:aws:sns:us-east-1:123456789012:on-call,arn:aws:sns:us-east-1:123456789012:log',
  alarmRejectedPercent: '2.5',
  tracing: 'true',
  apiRateLimit: '2.5',
  apiBurstLimit: '5',
  apiConcurrency: '10',
  fetchConcurrency: '12',
  corsOrigins: 'https://app.example.com, https://admin.example.com',
} as const;

/**
 * Checks a template by what this project asks of it. Throws nothing for a faulty template: its faults are the findings.
 * cfn-lint says whether CloudFormation would take it.
 */
export function checkTemplate(declared: Template): { findings: Finding[]; allowances: string[] } {
  const template = applyConditions(declared);
  const { findings, allowances } = checkAccess(template);
  return {
    findings: [
      ...findings,
      ...checkHouseRules(template),
      ...checkMonitoring(template),
      ...checkStateMachines(template),
      ...checkHandOver(template),
    ],
    allowances,
  };
}

/**
 * Packages a stage of the service in `serviceDir` into `outDir`, with neither credentials nor a network, and
 * returns its template. Builds dist/ in it. `params` are those of the command line. Throws an Error with what `serverless`
 * printed if that fails.
 */
export async function packageStage(
  stage: string,
  outDir: string,
  serviceDir: string = projectDir,
  params: Readonly<Record<string, string>> = {},
): Promise<Template> {
  const cli = join(projectDir, 'node_modules/.bin/serverless');
  const options = Object.entries(params).map(([name, value]) => `--param=${name}=${value}`);
  const { status, stdout, stderr, error } = spawnSync(
    cli,
    ['package', '--stage', stage, '--package', outDir, ...options],
    {
      cwd: serviceDir,
      encoding: 'utf8',
    },
  );
  if (status !== 0)
    throw new Error(`serverless package failed:\n${stdout ?? ''}${stderr ?? ''}`, { cause: error });
  return JSON.parse(await readFile(join(outDir, 'cloudformation-template-update-stack.json'), 'utf8'));
}

/** What packaging prod gives, as it is, and with every parameter set, with a bucket of its own and with one that exists. */
async function packagedTemplates(): Promise<Readonly<Record<string, Template>>> {
  const { resultsBucket: _, ...withOwnBucket } = everyParameter;
  const outDir = await mkdtemp(join(tmpdir(), 'batch-fetcher-package-'));
  try {
    return {
      template: await packageStage('prod', outDir),
      'template with every parameter': await packageStage('prod', outDir, projectDir, everyParameter),
      'template with every parameter but the bucket': await packageStage(
        'prod',
        outDir,
        projectDir,
        withOwnBucket,
      ),
    };
  } finally {
    await rm(outDir, { recursive: true });
  }
}

/** Prints what is found in the template at `path`, or in those that packaging prod gives; true if that is nothing. */
async function printFindings(path: string | undefined): Promise<boolean> {
  const templates: Readonly<Record<string, Template>> =
    path === undefined ? await packagedTemplates() : { [path]: JSON.parse(await readFile(path, 'utf8')) };
  const linters = [await findCfnLint(), await findCheckov()].filter((linter) => linter !== undefined);
  const allowed = new Set<string>();
  let found = 0;
  for (const [name, template] of Object.entries(templates)) {
    const { findings, allowances } = checkTemplate(template);
    const deployed = applyConditions(template);
    const linted = (await Promise.all(linters.map((linter) => linter(deployed)))).flat();
    for (const allowance of allowances) allowed.add(allowance);
    for (const { place, expected, got } of findings)
      console.error(`${place}: expected ${expected}, got ${got}`);
    for (const { place, rule, message } of linted) console.error(`${place}: ${message} (${rule})`);
    const count = findings.length + linted.length;
    console.log(`${name}: ${Object.keys(template.Resources).length} resources, ${count} findings`);
    found += count;
  }
  for (const allowance of allowed) console.log(`allowed: ${allowance}`);
  return found === 0;
}

if (import.meta.main) {
  try {
    process.exitCode = (await printFindings(process.argv[2])) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
