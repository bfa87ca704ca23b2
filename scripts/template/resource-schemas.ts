import { type Property, type PropertyType, resourceSchema, typeDefinition } from './spec.ts';
import {
  type Finding,
  getAttTarget,
  intrinsic,
  isObject,
  type Resource,
  show,
  type Template,
} from './template.ts';

const resourceAttributes = new Set([
  'Type',
  'Properties',
  'DependsOn',
  'Condition',
  'DeletionPolicy',
  'UpdateReplacePolicy',
  'UpdatePolicy',
  'CreationPolicy',
  'Metadata',
]);
const retentionPolicies = new Set(['Delete', 'Retain', 'RetainExceptOnCreate', 'Snapshot']);

interface Limit {
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: RegExp;
  readonly oneOf?: readonly string[];
}

// The schemas in the database carry neither ranges nor patterns, and not all of CloudFormation's lists of
// values: these are the ones of the resources that this project deploys, from their documentation.
const limits: Readonly<Record<string, Limit>> = {
  'AWS::ApiGatewayV2::Api.ProtocolType': { oneOf: ['HTTP', 'WEBSOCKET'] },
  'AWS::ApiGatewayV2::Integration.IntegrationType': { oneOf: ['AWS_PROXY', 'HTTP_PROXY'] },
  'AWS::ApiGatewayV2::Integration.PayloadFormatVersion': { oneOf: ['1.0', '2.0'] },
  'AWS::ApiGatewayV2::Integration.TimeoutInMillis': { min: 50, max: 30_000 },
  'AWS::ApiGatewayV2::Route.AuthorizationType': { oneOf: ['NONE', 'AWS_IAM', 'JWT', 'CUSTOM'] },
  'AWS::ApiGatewayV2::Route.RouteKey': {
    pattern: /^(\$default|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) \/\S*)$/,
  },
  'AWS::CloudWatch::Alarm.ComparisonOperator': {
    oneOf: [
      'GreaterThanOrEqualToThreshold',
      'GreaterThanThreshold',
      'LessThanThreshold',
      'LessThanOrEqualToThreshold',
    ],
  },
  'AWS::CloudWatch::Alarm.EvaluationPeriods': { min: 1 },
  'AWS::CloudWatch::Alarm.Statistic': { oneOf: ['SampleCount', 'Average', 'Sum', 'Minimum', 'Maximum'] },
  'AWS::CloudWatch::Alarm.TreatMissingData': { oneOf: ['breaching', 'notBreaching', 'ignore', 'missing'] },
  'AWS::Events::Rule.ScheduleExpression': {
    pattern: /^(rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)|cron\(\S+( \S+){5}\))$/,
  },
  'AWS::Lambda::EventInvokeConfig.MaximumEventAgeInSeconds': { min: 60, max: 21_600 },
  'AWS::Lambda::EventInvokeConfig.MaximumRetryAttempts': { min: 0, max: 2 },
  'AWS::Lambda::Function.Description': { pattern: /^.{0,256}$/ },
  'AWS::Lambda::Function.Architectures': { oneOf: ['arm64', 'x86_64'] },
  'AWS::Lambda::Function.FunctionName': { pattern: /^[A-Za-z0-9_-]{1,64}$/ },
  'AWS::Lambda::Function.MemorySize': { min: 128, max: 10_240 },
  'AWS::Lambda::Function.Timeout': { min: 1, max: 900 },
  'AWS::Lambda::Permission.Action': { pattern: /^lambda:[A-Za-z]+$/ },
  'AWS::S3::Bucket.BucketName': { pattern: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/ },
  'AWS::SQS::Queue.MessageRetentionPeriod': { min: 60, max: 1_209_600 },
  'AWS::SQS::Queue.VisibilityTimeout': { min: 0, max: 43_200 },
};

/** Finds resources and properties that CloudFormation's resource schemas do not allow. */
export function checkAgainstSchemas(template: Template): Finding[] {
  return Object.entries(template.Resources).flatMap(([logicalId, resource]) =>
    new ResourceCheck(logicalId, resource, template).run(),
  );
}

class ResourceCheck {
  readonly #findings: Finding[] = [];
  readonly #logicalId: string;
  readonly #resource: Resource;
  readonly #template: Template;

  constructor(logicalId: string, resource: Resource, template: Template) {
    this.#logicalId = logicalId;
    this.#resource = resource;
    this.#template = template;
  }

  run(): readonly Finding[] {
    this.#checkAttributes();
    const schema = resourceSchema(this.#resource.Type);
    if (schema === undefined) {
      this.#add('Type', 'a resource type of CloudFormation', this.#resource.Type);
    } else {
      this.#checkProperties(
        this.#resource.Properties ?? {},
        schema.properties,
        schema.cloudFormationType,
        'Properties',
      );
    }
    return this.#findings;
  }

  #add(path: string, expected: string, got: unknown): void {
    this.#findings.push({ logicalId: this.#logicalId, path, expected, got: show(got) });
  }

  #checkAttributes(): void {
    for (const key of Object.keys(this.#resource)) {
      if (!resourceAttributes.has(key)) this.#add(key, 'an attribute of a resource', key);
    }
    for (const key of ['DeletionPolicy', 'UpdateReplacePolicy'] as const) {
      const policy = this.#resource[key];
      if (policy !== undefined && !retentionPolicies.has(policy)) {
        this.#add(key, `one of ${[...retentionPolicies].join(', ')}`, policy);
      }
    }
  }

  #checkProperties(
    value: unknown,
    schemas: Readonly<Record<string, Property>>,
    typeName: string,
    path: string,
  ): void {
    if (!isObject(value)) {
      this.#add(path, `an object (${typeName})`, value);
      return;
    }
    for (const [name, schema] of Object.entries(schemas)) {
      if (schema.required === true && isAbsent(value[name])) {
        this.#add(`${path}.${name}`, `a value, as ${typeName} requires it`, value[name]);
      }
    }
    for (const [name, property] of Object.entries(value)) {
      const schema = schemas[name];
      if (schema === undefined) {
        const known = Object.keys(schemas).sort().join(', ');
        this.#add(`${path}.${name}`, `a property of ${typeName} (${known})`, name);
      } else if (!isAbsent(property)) {
        this.#checkValue(property, schema.type, `${path}.${name}`);
        this.#checkReferenced(property, schema, `${path}.${name}`);
        if (path === 'Properties') this.#checkLimit(property, `${typeName}.${name}`, `${path}.${name}`);
      }
    }
  }

  #checkValue(value: unknown, type: PropertyType, path: string): void {
    const [name, argument] = intrinsic(value) ?? [];
    if (name === 'Fn::If' && Array.isArray(argument)) {
      for (const branch of argument.slice(1)) if (!isAbsent(branch)) this.#checkValue(branch, type, path);
      return;
    }
    if (name !== undefined) {
      if (yieldsText(name, argument, this.#template) && !takesText(type)) {
        this.#add(path, describe(type), value);
      }
      return;
    }
    switch (type.type) {
      case 'string':
      case 'date-time':
        if (typeof value !== 'string') this.#add(path, 'a string', value);
        else this.#checkAllowed(value, type.type === 'string' ? type.allowedValues : undefined, path);
        return;
      case 'boolean':
        if (typeof value !== 'boolean') this.#add(path, 'a boolean', value);
        return;
      case 'integer':
        if (!Number.isInteger(value)) this.#add(path, 'an integer', value);
        else this.#checkAllowed(value, type.allowedValues, path);
        return;
      case 'number':
        if (typeof value !== 'number') this.#add(path, 'a number', value);
        return;
      case 'array':
        if (!Array.isArray(value)) this.#add(path, describe(type), value);
        else value.forEach((item, i) => void this.#checkValue(item, type.element, `${path}[${i}]`));
        return;
      case 'map':
        if (!isObject(value)) this.#add(path, describe(type), value);
        else
          for (const [key, item] of Object.entries(value))
            this.#checkValue(item, type.element, `${path}.${key}`);
        return;
      case 'ref': {
        const definition = typeDefinition(type);
        this.#checkProperties(value, definition.properties, definition.name, path);
        return;
      }
      case 'tag':
        if (!isObject(value) || typeof value.Key !== 'string' || value.Value === undefined) {
          this.#add(path, 'a tag with Key and Value', value);
        }
        return;
      case 'union':
        this.#checkUnion(value, type.types, path);
        return;
      case 'json':
        if (!isObject(value) && !Array.isArray(value)) this.#add(path, 'a JSON object', value);
        return;
      default:
        return;
    }
  }

  #checkAllowed(value: unknown, allowed: readonly unknown[] | undefined, path: string): void {
    if (allowed !== undefined && !allowed.includes(value)) {
      this.#add(path, `one of ${allowed.join(', ')}`, value);
    }
  }

  /** A value fits a union if one member takes it; else the first member's findings stand for all. */
  #checkUnion(value: unknown, types: readonly PropertyType[], path: string): void {
    const tries = types.map((type) => {
      const attempt = new ResourceCheck(this.#logicalId, this.#resource, this.#template);
      attempt.#checkValue(value, type, path);
      return attempt.#findings;
    });
    if (tries.every((findings) => findings.length > 0)) this.#findings.push(...(tries[0] ?? []));
  }

  /** Catches a Ref where the schema says an Arn is wanted, and the like. */
  #checkReferenced(value: unknown, { relationshipRefs = [] }: Property, path: string): void {
    const [name, argument] = intrinsic(value) ?? [];
    const [logicalId, attribute] =
      name === 'Ref' ? [String(argument)] : name === 'Fn::GetAtt' ? (getAttTarget(argument) ?? []) : [];
    const type = logicalId === undefined ? undefined : this.#template.Resources[logicalId]?.Type;
    const wanted = relationshipRefs.filter(({ cloudFormationType }) => cloudFormationType === type);
    if (type === undefined || wanted.length === 0) return;
    const schema = resourceSchema(type);
    const yields =
      attribute === undefined ? (schema?.cfnRefIdentifier ?? schema?.primaryIdentifier ?? []) : [attribute];
    if (!wanted.some(({ propertyName }) => yields.includes(propertyName))) {
      const names = wanted.map(({ propertyName }) => propertyName).join(' or ');
      this.#add(path, `the ${names} of ${logicalId}`, value);
    }
  }

  #checkLimit(value: unknown, property: string, path: string): void {
    const { min, max, pattern, oneOf } = limits[property] ?? {};
    for (const item of [value].flat()) {
      if (typeof item === 'number' && (item < (min ?? item) || item > (max ?? item))) {
        this.#add(path, `${min ?? ''}..${max ?? ''}`, item);
      }
      if (typeof item !== 'string') continue;
      if (pattern !== undefined && !pattern.test(item)) this.#add(path, `a match of ${pattern}`, item);
      this.#checkAllowed(item, oneOf, path);
    }
  }
}

function isAbsent(value: unknown): boolean {
  const [name, argument] = intrinsic(value) ?? [];
  return value === undefined || (name === 'Ref' && argument === 'AWS::NoValue');
}

/** Whether the intrinsic function makes a string, whatever its arguments hold. */
function yieldsText(name: string, argument: unknown, template: Template): boolean {
  if (name === 'Ref') return template.Resources[String(argument)] !== undefined;
  return name === 'Fn::Sub' || name === 'Fn::Join' || name === 'Fn::Base64';
}

function takesText(type: PropertyType): boolean {
  if (type.type === 'union') return type.types.some(takesText);
  return !['array', 'map', 'ref', 'tag', 'json'].includes(type.type);
}

function describe(type: PropertyType): string {
  if (type.type === 'array') return 'a list';
  return type.type === 'string' ? 'a string' : 'an object';
}
