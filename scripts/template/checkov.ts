import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findVirtualEnvironment } from '../virtual-environment.ts';
import type { LintFinding } from './cfn-lint.ts';

const run = promisify(execFile);
const projectConfig = join(import.meta.dirname, '../../.checkov.yaml');

/**
 * Resolves with what checkov finds in a template; `rule` is a check's id. `config` is a file with checkov's options, by
 * default the project's. Rejects where checkov does not read the template.
 */
export type Checkov = (template: object, config?: string) => Promise<LintFinding[]>;

/**
 * Resolves with checkov, as requirements-dev.txt pins it, from a virtual environment. Where that cannot be made, the
 * reason is printed, and it resolves with undefined; in CI, it rejects.
 */
export async function findCheckov(env: NodeJS.ProcessEnv = process.env): Promise<Checkov | undefined> {
  const directory = await findVirtualEnvironment('checkov', 'requirements-dev.txt', env);
  return directory === undefined
    ? undefined
    : (template, config = projectConfig) => check(template, config, directory);
}

interface Report {
  readonly summary: { readonly parsing_errors: number };
  readonly results: { readonly failed_checks: readonly FailedCheck[] };
}

interface FailedCheck {
  readonly check_id: string;
  readonly check_name: string;
  /** The type and the logical id, with a dot between them. */
  readonly resource: string;
  readonly check_result: { readonly evaluated_keys?: readonly string[] };
}

async function check(template: object, config: string, directory: string): Promise<LintFinding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'batch-fetcher-checkov-'));
  try {
    const file = join(folder, 'template.json');
    await writeFile(file, JSON.stringify(template));
    // The script by its path: the one in its first line is that of the draft.
    const script = [join(directory, 'bin/checkov'), '--config-file', config, '--file', file];
    const { stdout } = await run(
      join(directory, 'bin/python'),
      [...script, '--output', 'json', '--quiet', '--compact', '--soft-fail'],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
    );
    const report: Partial<Report> = JSON.parse(stdout);
    // It passes over what it cannot read, and finds nothing there.
    if (report.results === undefined || report.summary?.parsing_errors !== 0)
      throw new Error(`checkov could not read the template: ${stdout.trim()}`);
    return report.results.failed_checks.map(({ check_id, check_name, resource, check_result }) => ({
      place: [resource.split('.').at(-1), ...(check_result.evaluated_keys?.[0]?.split('/') ?? [])].join('.'),
      rule: check_id,
      message: check_name,
    }));
  } finally {
    await rm(folder, { recursive: true });
  }
}
