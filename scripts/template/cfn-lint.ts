import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const projectDir = join(import.meta.dirname, '../..');
const requirements = join(projectDir, 'requirements-dev.txt');

/** What cfn-lint says about a place in a template; `rule` is its id, as in .cfnlintrc.yaml. */
interface LintFinding {
  readonly place: string;
  readonly rule: string;
  readonly message: string;
}

/** Resolves with what cfn-lint finds in a template. */
export type Lint = (template: object) => Promise<LintFinding[]>;

/**
 * Resolves with cfn-lint, as requirements-dev.txt pins it, from a virtual environment in .cache/ that is made if need
 * be, in some ten seconds. Where that cannot be, without Python say, it prints the reason and resolves with undefined;
 * in CI, where `CI` is set, it rejects.
 */
export async function findCfnLint(env: NodeJS.ProcessEnv = process.env): Promise<Lint | undefined> {
  try {
    const directory = await makeVirtualEnvironment(env);
    return (template) => lint(template, directory);
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim() : error;
    if (env.CI) throw new Error(`cfn-lint cannot be installed: ${reason}`, { cause: error });
    console.warn(`cfn-lint is left out, as it cannot be installed: ${reason}`);
    return undefined;
  }
}

async function makeVirtualEnvironment(env: NodeJS.ProcessEnv): Promise<string> {
  // The environment is of this Python, and of these packages.
  const { stdout: version } = await run('python3', ['--version'], { env });
  const pinned = await readFile(requirements);
  const hash = createHash('sha256').update(version).update(pinned).digest('hex').slice(0, 16);
  const directory = join(projectDir, '.cache/venv', hash);
  if (existsSync(directory)) return directory;
  // The environment has a name of its own until it is whole, as tests and checks run side by side.
  const draft = `${directory}.${process.pid}`;
  try {
    await mkdir(draft, { recursive: true });
    await run('python3', ['-m', 'venv', draft], { env });
    await run(join(draft, 'bin/python'), ['-m', 'pip', 'install', '-qr', requirements], { env });
    await rename(draft, directory);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(directory)) throw error;
  }
  return directory;
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
