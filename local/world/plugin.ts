import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { VARIABLES } from '../../src/lambda/config.ts';
import { showProgress } from '../commands/progress.ts';

/** What this plugin uses of the Serverless Framework. */
interface Serverless {
  readonly serviceDir: string;
  readonly processedInput: { readonly commands: readonly string[] };
  readonly classes: { readonly Error: new (message: string, code: string) => Error };
  readonly service: {
    readonly provider: { readonly environment?: Environment };
    getAllFunctions(): string[];
    getFunction(name: string): { environment?: Environment };
  };
  getProvider(name: 'aws'): { getStage(): string };
}
type Environment = Record<string, unknown>;

/** Where the local store keeps its objects, as `<bucket>/<key>`. */
export const storeDirectory: string = join(import.meta.dirname, '../../.local/s3');

/** The bucket of the stage `local`. */
export const localBucket = 'batch-fetcher-local';

/** The bucket that the sample events have their manifests in. */
const manifestBucket = 'batch-fetcher-lists';

/** Where the local stand-in of SSM has its parameters: `/a/b` is `a/b.json`. */
const parameterDirectory = join(import.meta.dirname, '../../.local/parameters');

// The function's settings, which the user's own environment may change for a local run.
const settings = Object.values(VARIABLES).map(({ name }) => name);

// The output of a local run is for the reply alone.
const quiet: Environment = { POWERTOOLS_LOG_LEVEL: 'SILENT', POWERTOOLS_METRICS_DISABLED: 'true' };

/**
 * A Serverless plugin: for the stage `local`, `invoke local` and `offline` find the function built, the posts
 * API (unless `POST_URL` names another), an S3-compatible store and, where `POST_HEADERS_PARAMETER` names one, a
 * store of parameters running, and its environment pointing there.
 */
export default class LocalWorld {
  readonly #serverless: Serverless;
  readonly #world = new AsyncDisposableStack();

  // `after:` hooks are skipped on errors, and a server that still listens would keep the process for ever.
  readonly hooks: Readonly<Record<string, () => Promise<void>>> = {
    initialize: () => this.#start(),
    finalize: () => this.#world.disposeAsync(),
    error: () => this.#world.disposeAsync(),
    'before:offline:start:end': () => this.#world.disposeAsync(),
  };

  constructor(serverless: Serverless) {
    this.#serverless = serverless;
  }

  async #start(): Promise<void> {
    const [command, subcommand] = this.#serverless.processedInput.commands;
    const runsHere = command === 'offline' || (command === 'invoke' && subcommand === 'local');
    if (!runsHere || this.#serverless.getProvider('aws').getStage() !== 'local') return;

    this.#buildIfStale();
    try {
      await this.#startServers();
    } catch (error) {
      await this.#world.disposeAsync(); // no hook runs after a failed `initialize`
      throw error;
    }
  }

  #buildIfStale(): void {
    const { serviceDir } = this.#serverless;
    const builtMs = statSync(join(serviceDir, 'dist/handler.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const sources = readdirSync(join(serviceDir, 'src'), { recursive: true, encoding: 'utf8' });
    if (sources.every((source) => statSync(join(serviceDir, 'src', source)).mtimeMs <= builtMs)) return;
    // Its output goes to stderr: stdout is for the function's reply alone.
    const { status } = spawnSync(process.execPath, ['scripts/build/build.ts'], {
      cwd: serviceDir,
      stdio: ['ignore', 2, 2],
    });
    if (status !== 0)
      throw new this.#serverless.classes.Error('The function could not be built', 'BUILD_FAILED');
  }

  async #startServers(): Promise<void> {
    const { service } = this.#serverless;
    const own: Environment = {
      ...quiet,
      ...Object.fromEntries(
        settings.flatMap((name) => (name in process.env ? [[name, process.env[name]]] : [])),
      ),
    };
    own.POST_URL ??= await this.#startPosts();

    // The buckets of serverless.yml, and that of the sample events' manifests: one that a user makes up is missing here as it would be on AWS.
    const functions = service.getAllFunctions().map((name) => service.getFunction(name));
    const environments = functions.map(({ environment }) => ({
      ...service.provider.environment,
      ...environment,
    }));
    const buckets = environments.map(({ RESULTS_BUCKET }) => RESULTS_BUCKET);
    for (const definition of functions) definition.environment = { ...definition.environment, ...own };

    if (environments.some((environment) => ({ ...environment, ...own }).POST_HEADERS_PARAMETER)) {
      process.env.AWS_ENDPOINT_URL_SSM = await this.#startParameters();
    }

    // Those that the sample events name; what stands there already is the user's.
    cpSync(
      join(this.#serverless.serviceDir, 'events/manifests'),
      join(storeDirectory, manifestBucket, 'manifests'),
      {
        recursive: true,
        force: false,
      },
    );
    const { startS3Store } = await import('./s3.ts');
    const store = await startS3Store({
      directory: storeDirectory,
      buckets: [...new Set([...buckets.map(String), manifestBucket])],
    });
    this.#world.defer(() => store.close());
    // Both commands hand these on. The user's own credentials have no business in a local run.
    delete process.env.AWS_PROFILE;
    delete process.env.AWS_SESSION_TOKEN;
    Object.assign(process.env, {
      AWS_ENDPOINT_URL_S3: store.endpoint,
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      AWS_EC2_METADATA_DISABLED: 'true',
    });

    const postsOrigin = URL.parse(String(own.POST_URL))?.origin;
    if (process.stderr.isTTY && postsOrigin !== undefined) {
      this.#world.defer(showProgress(postsOrigin, process.stderr));
    }
  }

  async #startPosts(): Promise<string> {
    const { startPostsStub } = await import('./posts.ts');
    const posts = await startPostsStub();
    this.#world.defer(() => posts.close());
    return `${posts.url}/posts/{id}`;
  }

  async #startParameters(): Promise<string> {
    const { startParameterStore } = await import('./parameters.ts');
    const parameters = await startParameterStore({ directory: parameterDirectory });
    this.#world.defer(() => parameters.close());
    return parameters.endpoint;
  }
}
