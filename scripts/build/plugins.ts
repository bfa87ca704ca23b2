import { readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { basename } from 'node:path';
import type { Plugin } from 'esbuild';

/* What keeps a cold start short; docs/adr/0009-where-the-time-goes.md has what each plugin saves. */

/** The folder of files that are loaded on demand. */
export const ON_DEMAND = 'on-demand';

/**
 * Leaves what is imported dynamically, packages and modules, to another build, and notes in `found` the names of their
 * files there, and their sources. In the same build, whatever they need would be loaded at the start, as esbuild takes
 * what is reached by any file into what is shared by all. What they throw is no instance of a class of this build.
 */
export function leaveOnDemand(found: Record<string, string>): Plugin {
  const inner = Symbol('resolved by itself');
  return {
    name: 'leave-on-demand',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^/ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (kind !== 'dynamic-import' || isBuiltin(path) || pluginData === inner) return undefined;
        const { path: file, errors } = await resolve(path, { kind, importer, resolveDir, pluginData: inner });
        if (errors.length > 0) return { errors };
        const name = `${ON_DEMAND}/${nameOf(path)}`;
        found[name] = file;
        return { path: `./${name}.js`, external: true };
      });
    },
  };
}

/** `aws-sdk-client-ssm` of the package @aws-sdk/client-ssm, `run-page` of the module ../report/run-page.ts. */
function nameOf(path: string): string {
  return path.startsWith('.') ? basename(path, '.ts') : path.replace('@', '').replaceAll('/', '-');
}

/**
 * Node's own modules as they are for CommonJS, and of them only what is used. Importing one as an ES module reads each
 * of its exports, and to read `WebSocket` of node:http is to load the undici in Node (Node 24.21).
 */
const builtinsWithoutFacade: Plugin = {
  name: 'builtins-without-facade',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path, kind }) => {
      if (!isBuiltin(path)) return undefined;
      if (kind === 'import-statement') return { path, namespace: 'builtin' };
      return kind === 'dynamic-import' ? { path, namespace: 'builtin-whole' } : undefined;
    });
    // Each export is a constant that is dropped where it is not used; of a CommonJS module, esbuild copies all exports
    // into each file that imports some.
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {}).filter((name) => name !== 'default');
      const constants = names.map((name) => `const _${name} = /* @__PURE__ */ (() => builtin.${name})();`);
      return {
        contents: `
          const builtin = process.getBuiltinModule(${JSON.stringify(path)});
          ${constants.join('\n')}
          export { builtin as default, ${names.map((name) => `_${name} as ${name}`).join(', ')} };`,
      };
    });
    onLoad({ filter: /^/, namespace: 'builtin-whole' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

/**
 * The schemas of an AWS client without those of commands that nothing uses. Their keys are computed, of constants, and
 * might do anything for all that esbuild knows; schemas with literals are dropped where they are not used.
 */
const schemasOfUse: Plugin = {
  name: 'schemas-of-use',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]@aws-sdk[/\\].+[/\\]schemas_0\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const constants = new Map(
        [...source.matchAll(/^const (_\w+) = (".*");$/gm)].map(([, name, text]) => [name, text]),
      );
      return { contents: source.replaceAll(/\[(_\w+)\](?=: )/g, (key, name) => constants.get(name) ?? key) };
    });
  },
};

/**
 * undici without what it loads on demand and this project never asks for: bodies of requests that are streams or forms,
 * and the parser for processors without SIMD, which Lambda has none of.
 */
const undiciWithoutBallast: Plugin = {
  name: 'undici-without-ballast',
  setup({ onLoad }) {
    const ballast =
      /[/\\]undici[/\\]lib[/\\](web[/\\](fetch[/\\](body|formdata)|webidl[/\\]index)|llhttp[/\\]llhttp-wasm)\.js$/;
    onLoad({ filter: ballast }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${basename(path)} of undici is left out of the bundle`)})`,
    }));
  },
};

/** Loads undici's client for HTTP/2, and Node's with it, once a server speaks that. */
const http2OnDemand: Plugin = {
  name: 'http2-on-demand',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]undici[/\\]lib[/\\]dispatcher[/\\]client\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const required = "require('./client-h2.js')";
      if (!source.includes(`= ${required}\n`)) throw new Error(`${path}: expected \`${required}\``);
      return { contents: source.replace(`= ${required}`, `= (...given) => ${required}(...given)`) };
    });
  },
};

/** For every build, in this order. */
export const slimming: readonly Plugin[] = [
  builtinsWithoutFacade,
  schemasOfUse,
  undiciWithoutBallast,
  http2OnDemand,
];
