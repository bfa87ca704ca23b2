import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findVirtualEnvironment } from '../virtual-environment.ts';

const run = promisify(execFile);
const projectDir = join(import.meta.dirname, '../..');

/** What a linter says about a place in a template; `rule` is its id, as in .cfnlintrc.yaml. */
export interface LintFinding {
  readonly place: string;
  readonly rule: string;
  readonly message: string;
}

/** Resolves with what cfn-lint finds in a template. */
export type Lint = (template: object) => Promise<LintFinding[]>;

/**
 * Resolves with cfn-lint, as requirements-dev.txt pins it, from a virtual environment. Where that cannot be made, the
 * reason is printed, and it resolves with undefined; in CI, it rejects.
 */
export async function findCfnLint(env: NodeJS.ProcessEnv = process.env): Promise<Lint | undefined> {
  const directory = await findVirtualEnvironment('cfn-lint', 'requirements-dev.txt', env);
  return directory === undefined ? undefined : (template) => lint(template, directory);
}

interface Match {
  readonly Rule: { readonly Id: string };
  readonly Message: string;
  readonly Location: { readonly Path: readonly (string | number)[] | null };
}

async function lint(template: object, directory: string): Promise<LintFinding[]> {
  const config = join(projectDir, '.cfnlintrc.yaml');
  // The script is run by Python, as its first line has the path of the draft.
  const script = [join(directory, 'bin/cfn-lint'), '--config-file', config, '--format', 'json'];
  const linting = run(join(directory, 'bin/python'), [...script, '--non-zero-exit-code', 'none'], {
    maxBuffer: 64 * 1024 * 1024,
  });
  // A process that does not read all of the template says itself why.
  linting.child.stdin?.on('error', () => undefined).end(JSON.stringify(template));
  const matches: readonly Match[] = JSON.parse((await linting).stdout);
  return matches.map(({ Rule, Message, Location }) => ({
    place: placeOf(Location.Path ?? []),
    rule: Rule.Id,
    message: Message,
  }));
}

/** `FetchRole.Properties.Policies[0]`; `Outputs.Queue.Value` for what is no resource. */
function placeOf([section, ...path]: readonly (string | number)[]): string {
  const keys = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  return section === 'Resources' ? keys.slice(1) : `${section ?? ''}${keys}`;
}
