import type { Finding, Properties, Template } from './template.ts';
import { asText, at, findUnless, isObject, resourcesOf, targetOf } from './template.ts';

interface ActionTarget {
  /**
   * What the resource of the action must look like, in the form that `asText` gives; the group `owner` is the logical
   * id in it, if it is a resource of the template, and `alias` if it is an alias of a function.
   */
  readonly pattern: RegExp;
  readonly expected: string;
  /** The type that the owner must have. */
  readonly type?: string;
  /** What a statement's Condition must say at least, under `StringEquals`: its keys, and what their values look like. */
  readonly onlyIf?: Readonly<Record<string, RegExp>>;
}

/** Of the template, or that exists, by its whole name: which one is the operator's word. */
const BUCKET_ARN = /arn:\$\{AWS::Partition\}:s3:::(?:\$\{(?<owner>\w+)\}|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/;
const s3Bucket: ActionTarget = {
  type: 'AWS::S3::Bucket',
  pattern: new RegExp(`^${BUCKET_ARN.source}$`),
  expected: 'the Arn of one bucket',
};
const s3Objects: ActionTarget = {
  type: 'AWS::S3::Bucket',
  pattern: new RegExp(`^${BUCKET_ARN.source}/[^*?]+/?(\\*(\\.[a-z]+)*)?$`),
  expected: 'the objects under a prefix of a bucket, <Arn>/<prefix>* or <Arn>/<prefix>*.<ending>',
};
/** Those of manifests: all of a bucket that is not of the template. */
const OTHER_OBJECTS = /^arn:\$\{AWS::Partition\}:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/\*$/;
const executions: ActionTarget = {
  pattern:
    /^arn:\$\{AWS::Partition\}:states:\$\{AWS::Region\}:\$\{AWS::AccountId\}:execution:\$\{\w+\.Name\}(\/\w+)?:\*$/,
  expected: 'the executions of a state machine of this account and region',
};

const PARAMETER_ARN =
  /^arn:\$\{AWS::Partition\}:ssm:\$\{AWS::Region\}:\$\{AWS::AccountId\}:parameter(\/[A-Za-z0-9_.-]+)+$/;
const parameterKey: ActionTarget = {
  pattern: /^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/,
  expected: 'the Arn of one key',
  onlyIf: {
    'kms:ViaService': /^ssm\.\$\{AWS::Region\}\.\$\{AWS::URLSuffix\}$/,
    'kms:EncryptionContext:PARAMETER_ARN': PARAMETER_ARN,
  },
};

/** Every action that a role may have, with its narrowest resource: a new permission is looked at once, here. */
const grantable: Readonly<Record<string, ActionTarget>> = {
  's3:GetObject': {
    ...s3Objects,
    pattern: new RegExp(`${s3Objects.pattern.source}|${OTHER_OBJECTS.source}`),
  },
  's3:PutObject': s3Objects,
  's3:AbortMultipartUpload': s3Objects,
  's3:ListMultipartUploadParts': s3Objects,
  's3:ListBucket': s3Bucket,
  'logs:CreateLogStream': arnOf('AWS::Logs::LogGroup'),
  'logs:PutLogEvents': arnOf('AWS::Logs::LogGroup'),
  'sqs:SendMessage': arnOf('AWS::SQS::Queue'),
  'ssm:GetParameter': {
    pattern: PARAMETER_ARN,
    expected: 'the Arn of one parameter of this account and region',
  },
  'kms:Decrypt': parameterKey,
  'lambda:InvokeFunction': {
    type: 'AWS::Lambda::Function',
    pattern: /^\$\{(?<owner>\w+)\.Arn\}$|^\$\{(?<alias>\w+)\}$/,
    expected: 'the Arn of one AWS::Lambda::Function, or of one AWS::Lambda::Alias',
  },
  'states:StartExecution': {
    ...arnOf('AWS::StepFunctions::StateMachine'),
    pattern: /^\$\{(?<owner>\w+)\}$/,
  },
  'states:DescribeExecution': executions,
  'states:StopExecution': executions,
};

function arnOf(type: string): ActionTarget {
  return { type, pattern: /^\$\{(?<owner>\w+)\.Arn\}$/, expected: `the Arn of one ${type}` };
}

/** What the role of a state machine needs for its log, all of it, or the deployment fails. */
export const logDeliveryActions: readonly string[] = [
  'logs:CreateLogDelivery',
  'logs:GetLogDelivery',
  'logs:UpdateLogDelivery',
  'logs:DeleteLogDelivery',
  'logs:ListLogDeliveries',
  'logs:PutResourcePolicy',
  'logs:DescribeResourcePolicies',
  'logs:DescribeLogGroups',
];

/** Actions for which AWS knows no narrower resource than `*`, with the reason to print. */
const unscoped: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments': 'X-Ray has no resource for traces',
  'xray:PutTelemetryRecords': 'X-Ray has no resource for traces',
  'xray:GetSamplingRules': 'X-Ray has no resource for sampling',
  'xray:GetSamplingTargets': 'X-Ray has no resource for sampling',
  ...Object.fromEntries(
    logDeliveryActions.map((action) => [action, 'CloudWatch Logs has no resource for log deliveries']),
  ),
};

interface PlacedStatement {
  readonly logicalId: string;
  readonly place: string;
  readonly statement: Properties;
}

/** Finds statements that let in more than they have to; `allowances` are the wide ones that AWS cannot narrow. */
export function checkAccess(template: Template): { findings: Finding[]; allowances: string[] } {
  const allowing = statementsOf(template).filter(({ statement }) => statement.Effect !== 'Deny');
  return {
    findings: [
      ...allowing.flatMap(({ place, statement }) => checkStatement(statement, place, template)),
      ...checkFailureDestinations(template),
      ...checkStores(template),
      ...checkParameterReaders(template),
    ],
    allowances: allowing.flatMap(({ logicalId, statement: { Action, Resource } }) =>
      actionsOf(Action)
        .filter((action) => action in unscoped)
        .map((action) => `${logicalId}: ${action} on ${JSON.stringify(Resource)}: ${unscoped[action]}`),
    ),
  };
}

function statementsOf({ Resources }: Template): PlacedStatement[] {
  const statementsIn = (value: unknown, place: string, logicalId: string): PlacedStatement[] => {
    if (Array.isArray(value))
      return value.flatMap((item, i) => statementsIn(item, `${place}[${i}]`, logicalId));
    if (!isObject(value)) return [];
    if (value.Effect !== undefined) return [{ logicalId, place, statement: value }];
    return Object.entries(value).flatMap(([key, item]) => statementsIn(item, `${place}.${key}`, logicalId));
  };
  return Object.entries(Resources).flatMap(([logicalId, { Properties }]) =>
    statementsIn(Properties, `${logicalId}.Properties`, logicalId),
  );
}

function actionsOf(action: unknown): string[] {
  return [action ?? []].flat().map(String);
}

function checkStatement(statement: Properties, place: string, template: Template): Finding[] {
  const { Principal, Action } = statement;
  const principals = isObject(Principal) ? Object.values(Principal).flat() : [Principal];
  const isTrust = place.includes('.AssumeRolePolicyDocument.');
  return [
    ...['NotAction', 'NotResource', 'NotPrincipal'].flatMap((key) => {
      const value = statement[key];
      return findUnless(value === undefined, `${place}.${key}`, 'a list of what is allowed', value);
    }),
    ...findUnless(!principals.includes('*'), `${place}.Principal`, 'a principal that is named', Principal),
    ...(isTrust ? [] : checkService(statement, place)),
    ...actionsOf(Action).flatMap((action) => {
      if (isTrust)
        return findUnless(action === 'sts:AssumeRole', `${place}.Action`, 'sts:AssumeRole', action);
      return action in unscoped ? [] : checkGrant(action, statement, place, template);
    }),
  ];
}

/** A service acts for every account: what it may do to a resource of ours, it may do for one of ours alone. */
function checkService({ Principal, Condition }: Properties, place: string): Finding[] {
  const service = at(Principal, 'Service');
  const source = at(Condition, 'ArnEquals', 'aws:SourceArn');
  const isBound = service === undefined || /^\$\{\w+\.Arn\}$/.test(asText(source) ?? '');
  return findUnless(isBound, `${place}.Condition.ArnEquals.aws:SourceArn`, 'the Arn of one source', source);
}

function checkGrant(action: string, statement: Properties, place: string, template: Template): Finding[] {
  const target = grantable[action];
  if (target === undefined) {
    const expected = `one of ${Object.keys(grantable).join(', ')} (or a new line in access-policies.ts)`;
    return findUnless(false, `${place}.Action`, expected, action);
  }
  const { pattern, type, expected, onlyIf = {} } = target;
  const resources = [statement.Resource].flat();
  const isNarrow = (resource: unknown): boolean => {
    const match = pattern.exec(asText(resource) ?? '');
    const { owner, alias } = match?.groups ?? {};
    const isOf = (logicalId: string | undefined, wanted: string | undefined): boolean =>
      logicalId === undefined || template.Resources[logicalId]?.Type === wanted;
    return match !== null && isOf(owner, type) && isOf(alias, 'AWS::Lambda::Alias');
  };
  return [
    ...resources.flatMap((resource) =>
      findUnless(isNarrow(resource), `${place}.Resource`, `${expected} for ${action}`, resource),
    ),
    ...Object.entries(onlyIf).flatMap(([key, wanted]) => {
      const value = at(statement.Condition, 'StringEquals', key);
      const here = `${place}.Condition.StringEquals.${key}`;
      return findUnless(wanted.test(asText(value) ?? ''), here, `a match of ${wanted}`, value);
    }),
  ];
}

/** Lambda refuses a failure queue that the function's role may not write to, but only at deployment. */
function checkFailureDestinations(template: Template): Finding[] {
  return resourcesOf('AWS::Lambda::EventInvokeConfig', template).flatMap(([logicalId, properties]) => {
    const destination = at(properties, 'DestinationConfig', 'OnFailure', 'Destination');
    const isQueue = (resource: string): boolean => resource === asText(destination);
    const roleId = roleOf(targetOf(properties.FunctionName), template);
    const place = `${logicalId}.Properties.DestinationConfig.OnFailure.Destination`;
    const isWritable = may(roleId, 'sqs:SendMessage', template, isQueue);
    return findUnless(isWritable, place, `a queue that ${roleId} may write to`, destination);
  });
}

/**
 * A function keeps its runs in its bucket, under its prefix, and its role lets it do so. It reads manifests from other
 * buckets alone: whoever may invoke it could otherwise have the results of others shown.
 */
function checkStores(template: Template): Finding[] {
  return resourcesOf('AWS::Lambda::Function', template).flatMap(([logicalId, properties]) => {
    const variables = at(properties, 'Environment', 'Variables');
    const bucket = asText(at(variables, 'RESULTS_BUCKET'));
    const bucketArn = `arn:\${AWS::Partition}:s3:::${bucket}/`;
    const own = `${bucketArn}${asText(at(variables, 'RESULTS_PREFIX'))}`;
    const roleId = roleOf(logicalId, template);
    const mayWrite = may(roleId, 's3:PutObject', template, (resource) => resource.startsWith(own));
    const place = `${logicalId}.Properties.Environment.Variables.RESULTS_BUCKET`;
    return [
      ...findUnless(mayWrite, place, `a bucket that ${roleId} may write to`, bucket),
      ...statementsOf(template).flatMap(({ logicalId: ofRole, place, statement: { Action, Resource } }) => {
        const actions = actionsOf(Action).filter((action) => /^s3:.*(Object|Upload)/.test(action));
        if (ofRole !== roleId || actions.length === 0) return [];
        const isOnlyRead = actions.every((action) => action === 's3:GetObject');
        return [Resource].flat().flatMap((resource) => {
          const text = asText(resource) ?? '';
          const isOfManifests = isOnlyRead && !text.startsWith(bucketArn);
          const expected = `what starts with ${own}`;
          return findUnless(text.startsWith(own) || isOfManifests, `${place}.Resource`, expected, resource);
        });
      }),
    ];
  });
}

/** A function finds out that it may not read its parameter at its first invocation. */
function checkParameterReaders(template: Template): Finding[] {
  return resourcesOf('AWS::Lambda::Function', template).flatMap(([logicalId, properties]) => {
    const name = at(properties, 'Environment', 'Variables', 'POST_HEADERS_PARAMETER') ?? '';
    const isNamed = (resource: string): boolean =>
      resource.endsWith(`:parameter/${String(name).replace(/^\//, '')}`);
    const roleId = roleOf(logicalId, template);
    const place = `${logicalId}.Properties.Environment.Variables.POST_HEADERS_PARAMETER`;
    const isReadable = name === '' || may(roleId, 'ssm:GetParameter', template, isNamed);
    return findUnless(isReadable, place, `a parameter that ${roleId} may read`, name);
  });
}

function roleOf(functionId: string, { Resources }: Template): string {
  return targetOf(Resources[functionId]?.Properties?.Role);
}

/** Whether a policy in the role, or one that is attached to it, allows the action on a resource that is meant. */
export function may(
  roleId: string,
  action: string,
  template: Template,
  isMeant: (resource: string) => boolean,
): boolean {
  const attached = resourcesOf('AWS::IAM::Policy', template)
    .filter(([, { Roles }]) => [Roles].flat().some((role) => targetOf(role) === roleId))
    .map(([logicalId]) => logicalId);
  return statementsOf(template)
    .filter(({ logicalId }) => logicalId === roleId || attached.includes(logicalId))
    .some(
      ({ statement: { Effect, Action, Resource } }) =>
        Effect === 'Allow' &&
        actionsOf(Action).includes(action) &&
        [Resource].flat().some((resource) => isMeant(asText(resource) ?? '')),
    );
}
