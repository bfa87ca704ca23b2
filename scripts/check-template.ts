import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkAccess } from './template/access-policies.ts';
import { checkHouseRules } from './template/house-rules.ts';
import { checkReferences } from './template/references.ts';
import { checkAgainstSchemas } from './template/resource-schemas.ts';
import { checkStateMachines } from './template/state-machines.ts';
import type { Finding, Template } from './template/template.ts';

const projectDir = join(import.meta.dirname, '..');

/** Checks a template: nothing is thrown for a faulty one, the faults are the findings. */
export function checkTemplate(template: Template): { findings: Finding[]; allowances: string[] } {
  const access = checkAccess(template);
  return {
    findings: [
      ...checkAgainstSchemas(template),
      ...checkReferences(template),
      ...access.findings,
      ...checkHouseRules(template),
      ...checkStateMachines(template),
    ],
    allowances: access.allowances,
  };
}

/**
 * Packages a stage of the service in `serviceDir` into `outDir`, with neither credentials nor a network, and
 * returns its template. Needs dist/. `params` are those of the command line. Throws an Error with what `serverless`
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

async function packagedTemplate(stage: string): Promise<Template> {
  const outDir = await mkdtemp(join(tmpdir(), 'batch-fetcher-package-'));
  try {
    return await packageStage(stage, outDir);
  } finally {
    await rm(outDir, { recursive: true });
  }
}

/** Checks the template at `path`, or else the one that packaging prod gives; true if nothing was found. */
async function report(path: string | undefined): Promise<boolean> {
  const template: Template =
    path === undefined ? await packagedTemplate('prod') : JSON.parse(await readFile(path, 'utf8'));
  const { findings, allowances } = checkTemplate(template);
  for (const allowance of allowances) console.log(`allowed: ${allowance}`);
  for (const { logicalId, path: at, expected, got } of findings) {
    console.error(`${at === '' ? logicalId : `${logicalId}.${at}`}: expected ${expected}, got ${got}`);
  }
  console.log(`template: ${Object.keys(template.Resources).length} resources, ${findings.length} findings`);
  return findings.length === 0;
}

if (import.meta.main) {
  try {
    process.exitCode = (await report(process.argv[2])) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
