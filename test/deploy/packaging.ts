import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logDeliveryActions } from '../../scripts/template/access-policies.ts';
import { checkTemplate, packageStage } from '../../scripts/template/check-template.ts';
import type { Template } from '../../scripts/template/template.ts';

const projectDir = join(import.meta.dirname, '../..');

/** A copy of the service, so that a test neither needs nor touches the project's own dist/ and .serverless/. */
export interface ServiceCopy extends AsyncDisposable {
  readonly dir: string;
  /** Packages a stage into a directory of the copy with its name, or with `name`. */
  readonly packaged: (
    stage: string,
    params?: Readonly<Record<string, string>>,
    name?: string,
  ) => Promise<Template>;
}

export async function copyService(): Promise<ServiceCopy> {
  const dir = await mkdtemp(join(tmpdir(), 'batch-fetcher-deploy-'));
  await cp(join(projectDir, 'serverless.yml'), join(dir, 'serverless.yml'));
  for (const name of ['deploy', 'local', 'node_modules', 'package.json']) {
    await symlink(join(projectDir, name), join(dir, name));
  }
  return {
    dir,
    packaged: (stage, params = {}, name = stage) => packageStage(stage, join(dir, name), dir, params),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
}

/** The wide permissions that CloudWatch Logs asks of the role of every state machine with a log. */
export const logDeliveries = ['FetchAtScaleRole', 'FetchAtScaleForApiRole'].flatMap((role) =>
  logDeliveryActions.map(
    (action) => `${role}: ${action} on "*": CloudWatch Logs has no resource for log deliveries`,
  ),
);

/** A fault to seed into a template that has none. */
export interface Fault {
  readonly fault: string;
  /** Where it is seeded, from the template's Resources. */
  readonly at: string;
  /** What is put there; undefined takes away what is there. */
  readonly put: unknown;
  /** Where it is found; by default where it was seeded. */
  readonly found?: readonly string[];
}

/** The template with something else, or nothing, at a place. */
export function seeded<T extends Template>(sound: T, at: string, put: unknown): T {
  const template = structuredClone(sound);
  const keys = at.split('.');
  const last = keys.pop() ?? '';
  // The path leads through objects and lists of JSON alone, which a record of strings stands for.
  type Json = Record<string, unknown>;
  const parent = keys.reduce((inner, key) => inner[key] as Json, template.Resources as Json);
  if (put !== undefined) parent[last] = put;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return template;
}

/** Where something is found, in order. */
export function placesIn(template: Template): string[] {
  return checkTemplate(template)
    .findings.map(({ place }) => place)
    .sort();
}
