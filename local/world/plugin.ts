import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { VARIABLES } from '../../src/lambda/config.ts';
import { showProgress, tellParent } from '../commands/progress.ts';
import { buildIfStale } from './build-if-stale.ts';
import { quiet, useStore } from './environment.ts';
import {
  type Environments,
  listOf,
  mistakesInEnvironments,
  mistakesInValues,
  type Values,
} from './params.ts';
import { manifestBucket, parameterDirectory, storeDirectory } from './places.ts';

/** What this plugin uses of the Serverless Framework. */
interface Serverless {
  readonly serviceDir: string;
  readonly processedInput: {
    readonly commands: readonly string[];
    readonly options: { readonly param?: readonly string[]; readonly lambdaPort?: number | string };
  };
  readonly configurationInput: {
    readonly params: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  };
  readonly classes: { readonly Error: new (message: string, code: string) => Error };
  readonly service: {
    readonly provider: { readonly environment?: Environment };
    readonly custom: { readonly 'serverless-offline': { readonly lambdaPort: number } };
    readonly functions: Record<string, FunctionDefinition>;
    getAllFunctions(): string[];
    getFunction(name: string): FunctionDefinition;
  };
  getProvider(name: 'aws'): { getStage(): string };
}
interface VariableSource {
  resolve(request: { readonly params: readonly unknown[] }): { readonly value: unknown };
}
type Environment = Record<string, unknown>;
interface FunctionDefinition {
  environment?: Environment;
  readonly name?: string;
  readonly handler?: string;
  readonly events?: readonly unknown[];
}

/** The functions' settings, which the user's own environment may change for a local run. */
const settings = Object.values(VARIABLES).map(({ name }) => name);

/**
 * A Serverless plugin. `package` and `deploy` find the function built, of the sources as they are, and stop where a
 * parameter is none or has a value that the functions or the stack would refuse. For the stage `local`, `invoke local`
 * and `offline` find the function built, the posts API (unless `POST_URL` names another), an S3-compatible store and,
 * where `POST_HEADERS_PARAMETER` names one, a store of parameters running, and its environment pointing there.
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

  /** Sources of variables for what `--param` gives as text: `${strToNumber(3)}`, `${strToList(a,b)}`. */
  readonly configurationVariablesSources = {
    strToNumber: sourceOf((text) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : text)),
    strToList: sourceOf(listOf),
  };

  constructor(serverless: Serverless) {
    this.#serverless = serverless;
    // The framework would say where a value does not fit, and not whose value it is.
    if (this.#isPackaging()) this.#refuse(mistakesInValues(this.#valuesOfParams()));
  }

  async #start(): Promise<void> {
    const [command, subcommand] = this.#serverless.processedInput.commands;
    this.#dropEmptyVariables();
    if (this.#isPackaging()) {
      this.#refuse(mistakesInEnvironments(this.#environments()));
      // Loaded on demand: most commands build nothing.
      const { buildFunction } = await import('../../scripts/build/build.ts');
      await this.#build(() => buildFunction(join(this.#serverless.serviceDir, 'dist')));
    }
    const runsHere = command === 'offline' || (command === 'invoke' && subcommand === 'local');
    if (!runsHere || this.#serverless.getProvider('aws').getStage() !== 'local') return;

    await this.#build(buildIfStale);
    try {
      await this.#startServers();
    } catch (error) {
      await this.#world.disposeAsync(); // no hook runs after a failed `initialize`
      throw error;
    }
  }

  /** A parameter without a value leaves its variable unset: src/ says what that means. */
  #dropEmptyVariables(): void {
    for (const environment of [this.#serverless.service.provider, ...this.#functions()].map(
      (it) => it.environment,
    )) {
      for (const [name, value] of Object.entries(environment ?? {}))
        if (value === '') delete environment?.[name];
    }
  }

  #functions(): FunctionDefinition[] {
    const { service } = this.#serverless;
    return service.getAllFunctions().map((name) => service.getFunction(name));
  }

  #isPackaging(): boolean {
    const [command, subcommand] = this.#serverless.processedInput.commands;
    return command === 'package' || (command === 'deploy' && subcommand !== 'list');
  }

  #refuse(mistakes: readonly string[]): void {
    if (mistakes.length > 0) throw new this.#serverless.classes.Error(mistakes.join('\n'), 'BAD_PARAMS');
  }

  /** The values of the parameters that have one. */
  #valuesOfParams(): Values {
    const { configurationInput, processedInput } = this.#serverless;
    const { params } = configurationInput;
    const given = (processedInput.options.param ?? []).map((text) => {
      const [name = '', ...value] = text.split('=');
      return [name, value.join('=').trimEnd()];
    });
    const stage = this.#serverless.getProvider('aws').getStage();
    const values = { ...params.default, ...params[stage], ...Object.fromEntries(given) };
    const texts = Object.entries(values).map(([name, value]) => [name, String(value)]);
    // A variable of the framework's is not filled in yet.
    return Object.fromEntries(texts.filter(([, text]) => text !== '' && !text?.includes('${')));
  }

  #environments(): Environments {
    const { service } = this.#serverless;
    const environments = service
      .getAllFunctions()
      .map((name) => [name, { ...service.provider.environment, ...service.getFunction(name).environment }]);
    return Object.fromEntries(environments);
  }

  async #build(build: () => Promise<unknown>): Promise<void> {
    try {
      await build();
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new this.#serverless.classes.Error(`The function could not be built: ${reason}`, 'BUILD_FAILED');
    }
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
    for (const definition of functions) {
      // What only a stack knows of itself.
      const known = Object.entries(definition.environment ?? {}).filter(([, value]) => !isObject(value));
      // Runs of the API are then where all others are.
      const prefix = 'RESULTS_PREFIX' in own && { ASYNC_RESULTS_PREFIX: own.RESULTS_PREFIX };
      definition.environment = { ...Object.fromEntries(known), ...prefix, ...own };
    }
    if (this.#serverless.processedInput.commands[0] === 'offline') await this.#handRunsOver();

    if (environments.some((environment) => ({ ...environment, ...own }).POST_HEADERS_PARAMETER)) {
      process.env.AWS_ENDPOINT_URL_SSM = await this.#startParameters();
    }

    // The sample events name these manifests. A file that is there already is the user's.
    const manifests = join(this.#serverless.serviceDir, 'events/manifests');
    cpSync(manifests, join(storeDirectory, manifestBucket, 'manifests'), { recursive: true, force: false });
    const { startS3Store } = await import('./s3.ts');
    const store = await startS3Store({
      directory: storeDirectory,
      buckets: [...new Set([...buckets.map(String), manifestBucket])],
    });
    this.#world.defer(() => store.close());
    // Both commands hand the environment on.
    useStore(store);

    const postsOrigin = URL.parse(String(own.POST_URL))?.origin;
    if (postsOrigin === undefined) return;
    // The commands show more of a run than what can be seen from here.
    if (process.send) this.#world.defer(tellParent(postsOrigin));
    else if (process.stderr.isTTY) this.#world.defer(showProgress(postsOrigin, process.stderr));
  }

  /** Has the API hand its runs over to serverless-offline's own Lambda, and to a state machine that runs in here. */
  async #handRunsOver(): Promise<void> {
    const { service, processedInput } = this.#serverless;
    const { lambdaPort } = { ...service.custom['serverless-offline'], ...processedInput.options };
    const lambdaEndpoint = `http://127.0.0.1:${lambdaPort}`;
    process.env.AWS_ENDPOINT_URL_LAMBDA = lambdaEndpoint;
    const variables = {
      ASYNC_FUNCTION: this.#addAlias('fetch', 'api'),
      STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:000000000000:stateMachine:local',
    };
    const api = service.getFunction('api');
    api.environment = { ...variables, ...api.environment };
    const { startStepFunctions } = await import('./step-functions.ts');
    const stepFunctions = await startStepFunctions({
      lambdaEndpoint,
      functions: {
        PlanFunctionArn: this.#addAlias('plan', 'api-parts'),
        FetchFunctionArn: this.#addAlias('fetch', 'api-parts'),
        ConcludeFunctionArn: this.#addAlias('conclude', 'api-parts'),
      },
      directory: storeDirectory,
      onFailure: (name, error) => console.error(`The execution ${name} failed:`, error),
    });
    this.#world.defer(() => stepFunctions.close());
    process.env.AWS_ENDPOINT_URL_SFN = stepFunctions.endpoint;
  }

  /** serverless-offline knows no aliases: one is a function of its own here. Returns its Arn. */
  #addAlias(name: string, alias: string): string {
    const { service } = this.#serverless;
    const definition = service.getFunction(name);
    const arn = `arn:aws:lambda:us-east-1:000000000000:function:${definition.name}:${alias}`;
    const variable = alias === 'api' ? 'ASYNC_FUNCTION' : 'ASYNC_TASK_FUNCTION';
    service.functions[`${name}-${alias}`] = {
      ...definition,
      name: arn,
      handler: `local/world/through-alias.${name}`,
      environment: { ...definition.environment, [variable]: arn },
      events: [],
    };
    return arn;
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

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function sourceOf(parse: (text: string) => unknown): VariableSource {
  // A text with commas comes as one parameter where it is that of a variable.
  return { resolve: ({ params }) => ({ value: parse(params.join(',')) }) };
}
