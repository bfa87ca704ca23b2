import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';

/** Every schema of schema/, by the name of its file. */
export const schemaFiles: ReadonlyMap<string, Record<string, unknown>> = new Map(
  ['event', 'document', 'run-manifest', 'progress'].map((name) => [`${name}.schema.json`, readSchema(name)]),
);

/** The schemas of schema/, as JSON. */
export const eventSchema = readSchema('event');
export const documentSchema = readSchema('document');

/** What is wrong with the base form of an event, one fault a line; empty where nothing is. */
export const eventFaults = faultsBy(eventSchema);
/** What is wrong with the manifest of a run of parts. */
export const runManifestFaults = faultsBy(readSchema('run-manifest'));
/** What is wrong with the claim of a run. */
export const claimFaults = faultsBy(readSchema('progress'));
/** What is wrong with a stored document. */
export const documentFaults = faultsBy(documentSchema);
/** What is wrong with a line of an object of outcomes. */
export const lineFaults = faultsBy({ $defs: documentSchema.$defs, $ref: '#/$defs/line' });

function readSchema(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(import.meta.dirname, `../../schema/${name}.schema.json`), 'utf8'));
}

function faultsBy(schema: Record<string, unknown>): (value: unknown) => string[] {
  // Formats are notes to the reader in 2020-12, and patterns hold what they say.
  const ajv = new Ajv2020({ strict: true, allErrors: true, validateFormats: false });
  const validate = ajv.compile(schema);
  return (value) =>
    validate(value)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}
