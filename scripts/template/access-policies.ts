import { withConditionsApplied } from './conditions.ts';
import { asText, type Finding, getAttTarget, intrinsic, isObject, show, type Template } from './template.ts';

interface ActionTarget {
  /** What the resource of the action must look like, in the form that `asText` gives. */
  readonly pattern: RegExp;
  readonly expected: string;
  /** The resource type that `${LogicalId.Arn}` at its start must have. */
  readonly type?: string;
  /** What a resource that is not of the template may look like instead. */
  readonly elsewhere?: RegExp;
  /** What a statement's Condition must say at least, under `StringEquals`: its keys, and what their values look like. */
  readonly onlyIf?: Readonly<Record<string, RegExp>>;
}

const s3Bucket: ActionTarget = {
  type: 'AWS::S3::Bucket',
  pattern: /^\$\{\w+\.Arn\}$/,
  expected: 'the Arn of a bucket',
};
const s3Objects: ActionTarget = {
  type: 'AWS::S3::Bucket',
  pattern: /^\$\{\w+\.Arn\}\/[^*?]+\/?(\*(\.[a-z]+)*)?$/,
  expected: 'the objects under a prefix of a bucket, <Arn>/<prefix>* or <Arn>/<prefix>*.<ending>',
};
/** A bucket that is not of the template, by its whole name: which one is the operator's word. */
const OTHER_BUCKET = /^arn:\$\{AWS::Partition\}:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const OTHER_OBJECTS = new RegExp(`${OTHER_BUCKET.source.slice(0, -1)}/\\*$`);
const logStreams: ActionTarget = {
  type: 'AWS::Logs::LogGroup',
  pattern: /^\$\{\w+\.Arn\}$/,
  expected: 'the Arn of a log group',
};
const lambdaFunction: ActionTarget = {
  type: 'AWS::Lambda::Function',
  pattern: /^\$\{\w+\.Arn\}$/,
  expected: 'the Arn of a function',
};
const stateMachine: ActionTarget = {
  type: 'AWS::StepFunctions::StateMachine',
  pattern: /^\$\{\w+\}$/,
  expected: 'the Arn of a state machine',
};
const executions: ActionTarget = {
  pattern:
    /^arn:\$\{AWS::Partition\}:states:\$\{AWS::Region\}:\$\{AWS::AccountId\}:execution:\$\{\w+\.Name\}(\/\w+)?:\*$/,
  expected: 'the executions of a state machine of this account and region',
};
const queue: ActionTarget = {
  type: 'AWS::SQS::Queue',
  pattern: /^\$\{\w+\.Arn\}$/,
  expected: 'the Arn of a queue',
};

const PARAMETER_ARN =
  /^arn:\$\{AWS::Partition\}:ssm:\$\{AWS::Region\}:\$\{AWS::AccountId\}:parameter(\/[A-Za-z0-9_.-]+)+$/;
const parameter: ActionTarget = {
  pattern: PARAMETER_ARN,
  expected: 'the Arn of one parameter of this account and region',
};
const parameterKey: ActionTarget = {
  pattern: /^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/,
  expected: 'the Arn of one key',
  onlyIf: {
    'kms:ViaService': /^ssm\.\$\{AWS::Region\}\.\$\{AWS::URLSuffix\}$/,
    'kms:EncryptionContext:PARAMETER_ARN': PARAMETER_ARN,
  },
};

// Every action that a role may have, with the narrowest resource it works on. A new permission needs its
// line here, so that it is looked at once.
const grantable: Readonly<Record<string, ActionTarget>> = {
  's3:GetObject': { ...s3Objects, elsewhere: OTHER_OBJECTS },
  's3:PutObject': s3Objects,
  's3:AbortMultipartUpload': s3Objects,
  's3:ListMultipartUploadParts': s3Objects,
  's3:ListBucket': { ...s3Bucket, elsewhere: OTHER_BUCKET },
  'logs:CreateLogStream': logStreams,
  'logs:PutLogEvents': logStreams,
  'sqs:SendMessage': queue,
  'ssm:GetParameter': parameter,
  'kms:Decrypt': parameterKey,
  'lambda:InvokeFunction': lambdaFunction,
  'states:StartExecution': stateMachine,
  'states:DescribeExecution': executions,
  'states:StopExecution': executions,
};

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

// Actions for which AWS knows no narrower resource than `*`, with the reason to print.
const unscoped: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments': 'X-Ray has no resource for traces',
  'xray:PutTelemetryRecords': 'X-Ray has no resource for traces',
  'xray:GetSamplingRules': 'X-Ray has no resource for sampling',
  'xray:GetSamplingTargets': 'X-Ray has no resource for sampling',
  ...Object.fromEntries(
    logDeliveryActions.map((action) => [action, 'CloudWatch Logs has no resource for log deliveries']),
  ),
  'cloudwatch:PutMetricData': 'CloudWatch has no resource for metrics',
};

const statementKeys = [
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
];

interface Policy {
  readonly logicalId: string;
  readonly path: string;
  readonly document: Readonly<Record<string, unknown>>;
}

/** Finds statements that let in more than they have to, or that IAM would refuse. */
export function checkAccess(declared: Template): { findings: Finding[]; allowances: string[] } {
  const template = withConditionsApplied(declared);
  const allowances: string[] = [];
  const findings = [
    ...policies(template).flatMap((policy) => {
      const version = policy.document.Version;
      return [
        ...(version === undefined || version === '2012-10-17'
          ? []
          : [finding(policy, 'Version', '2012-10-17', version)]),
        ...[policy.document.Statement]
          .flat()
          .flatMap((statement, i) =>
            checkStatement(policy, `Statement[${i}]`, statement, template, allowances),
          ),
      ];
    }),
    ...checkInvokers(template),
    ...checkFailureDestinations(template),
    ...checkParameterReaders(template),
  ];
  return { findings, allowances };
}

function policies(template: Template): Policy[] {
  const found: Policy[] = [];
  const visit = (logicalId: string, path: string, value: unknown): void => {
    if (isObject(value) && value.Statement !== undefined) found.push({ logicalId, path, document: value });
    else if (Array.isArray(value)) value.forEach((item, i) => void visit(logicalId, `${path}[${i}]`, item));
    else if (isObject(value)) {
      for (const [key, item] of Object.entries(value)) visit(logicalId, `${path}.${key}`, item);
    }
  };
  for (const [logicalId, { Properties }] of Object.entries(template.Resources)) {
    visit(logicalId, 'Properties', Properties);
  }
  return found;
}

function finding({ logicalId, path }: Policy, at: string, expected: string, got: unknown): Finding {
  return { logicalId, path: `${path}.${at}`, expected, got: show(got) };
}

function checkStatement(
  policy: Policy,
  at: string,
  statement: unknown,
  template: Template,
  allowances: string[],
): Finding[] {
  if (!isObject(statement)) return [finding(policy, at, 'a statement', statement)];
  const findings = Object.keys(statement)
    .filter((key) => !statementKeys.includes(key))
    .map((key) => finding(policy, `${at}.${key}`, `one of ${statementKeys.join(', ')}`, key));
  const { Effect, Principal, Action, Resource } = statement;
  if (Effect === 'Deny') return findings;
  if (Effect !== 'Allow') return [...findings, finding(policy, `${at}.Effect`, 'Allow or Deny', Effect)];

  for (const key of ['NotAction', 'NotResource', 'NotPrincipal']) {
    if (statement[key] !== undefined) {
      findings.push(finding(policy, `${at}.${key}`, 'a list of what is allowed', statement[key]));
    }
  }
  if (Principal === '*' || (isObject(Principal) && Object.values(Principal).flat().includes('*'))) {
    findings.push(finding(policy, `${at}.Principal`, 'a principal that is named', Principal));
  }
  for (const action of [Action].flat()) {
    if (policy.path.endsWith('.AssumeRolePolicyDocument')) {
      if (action !== 'sts:AssumeRole')
        findings.push(finding(policy, `${at}.Action`, 'sts:AssumeRole', action));
      continue;
    }
    const reason = typeof action === 'string' ? unscoped[action] : undefined;
    if (reason !== undefined) {
      allowances.push(`${policy.logicalId}: ${String(action)} on ${show(Resource)}: ${reason}`);
      continue;
    }
    findings.push(...checkGrant(policy, at, action, statement, template));
  }
  return findings;
}

function checkGrant(
  policy: Policy,
  at: string,
  action: unknown,
  { Resource, Condition }: Readonly<Record<string, unknown>>,
  template: Template,
): Finding[] {
  const target = typeof action === 'string' ? grantable[action] : undefined;
  if (target === undefined) {
    const expected = `one of ${Object.keys(grantable).join(', ')} (or a new line in access-policies.ts)`;
    return [finding(policy, `${at}.Action`, expected, action)];
  }
  const wide = [Resource].flat().filter((resource) => {
    const text = asText(resource) ?? '';
    if (target.elsewhere?.test(text)) return false;
    const logicalId = /^\$\{(\w+)/.exec(text)?.[1] ?? '';
    return !target.pattern.test(text) || template.Resources[logicalId]?.Type !== target.type;
  });
  const equals = isObject(Condition) && isObject(Condition.StringEquals) ? Condition.StringEquals : {};
  const unheld = Object.entries(target.onlyIf ?? {}).filter(
    ([key, value]) => !value.test(asText(equals[key]) ?? ''),
  );
  return [
    ...wide.map((resource) =>
      finding(policy, `${at}.Resource`, `${target.expected} for ${String(action)}`, resource),
    ),
    ...unheld.map(([key, value]) =>
      finding(policy, `${at}.Condition.StringEquals.${key}`, `a match of ${value}`, equals[key]),
    ),
  ];
}

/** A permission without a source lets every account's rules and APIs invoke the function. */
function checkInvokers(template: Template): Finding[] {
  return Object.entries(template.Resources)
    .filter(([, { Type }]) => Type === 'AWS::Lambda::Permission')
    .flatMap(([logicalId, { Properties = {} }]) => {
      const { Principal, SourceArn, SourceAccount } = Properties;
      return [
        ...(Principal === '*'
          ? [{ logicalId, path: 'Properties.Principal', expected: 'a principal that is named', got: '*' }]
          : []),
        ...(SourceArn === undefined && SourceAccount === undefined
          ? [
              {
                logicalId,
                path: 'Properties.SourceArn',
                expected: 'a source that is named',
                got: show(SourceArn),
              },
            ]
          : []),
      ];
    });
}

/** Lambda refuses a failure queue that the function's role may not write to, but only at deployment. */
function checkFailureDestinations(template: Template): Finding[] {
  return Object.entries(template.Resources)
    .filter(([, { Type }]) => Type === 'AWS::Lambda::EventInvokeConfig')
    .flatMap(([logicalId, { Properties = {} }]) => {
      const path = 'Properties.DestinationConfig.OnFailure.Destination';
      const destination = at(Properties, 'DestinationConfig', 'OnFailure', 'Destination');
      if (destination === undefined) return [{ logicalId, path, expected: 'a queue', got: 'nothing' }];
      const functionId = targetOf(Properties.FunctionName);
      const roleId = targetOf(template.Resources[functionId]?.Properties?.Role);
      return may(roleId, 'sqs:SendMessage', template, (queue) => queue === asText(destination))
        ? []
        : [{ logicalId, path, expected: `a queue that ${roleId} may write to`, got: show(destination) }];
    });
}

/** A function finds out that it may not read its parameter at its first invocation. */
function checkParameterReaders(template: Template): Finding[] {
  return Object.entries(template.Resources)
    .filter(([, { Type }]) => Type === 'AWS::Lambda::Function')
    .flatMap(([logicalId, { Properties = {} }]) => {
      const name = at(Properties, 'Environment', 'Variables', 'POST_HEADERS_PARAMETER');
      if (name === undefined || name === '') return [];
      const path = 'Properties.Environment.Variables.POST_HEADERS_PARAMETER';
      const roleId = targetOf(Properties.Role);
      const suffix = `:parameter/${String(name).replace(/^\//, '')}`;
      return may(roleId, 'ssm:GetParameter', template, (parameter) => parameter.endsWith(suffix))
        ? []
        : [{ logicalId, path, expected: `a parameter that ${roleId} may read`, got: show(name) }];
    });
}

/** Whether a policy in the role, or one that is attached to it, allows the action on a resource that is meant. */
export function may(
  roleId: string,
  action: string,
  template: Template,
  isMeant: (resource: string) => boolean,
): boolean {
  const attached = Object.entries(template.Resources)
    .filter(([, { Type, Properties }]) => {
      const roles = Type === 'AWS::IAM::Policy' ? [Properties?.Roles].flat() : [];
      return roles.some((role) => targetOf(role) === roleId);
    })
    .map(([logicalId]) => logicalId);
  return policies(template)
    .filter(({ logicalId }) => logicalId === roleId || attached.includes(logicalId))
    .flatMap(({ document }) => [document.Statement].flat())
    .some(
      (statement) =>
        isObject(statement) &&
        statement.Effect === 'Allow' &&
        [statement.Action].flat().includes(action) &&
        [statement.Resource].flat().some((resource) => isMeant(asText(resource) ?? '')),
    );
}

export function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce((inner, key) => (isObject(inner) ? inner[key] : undefined), value);
}

/** The logical id that a Ref or GetAtt names, or the empty string. */
export function targetOf(value: unknown): string {
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref') return String(argument);
  return name === 'Fn::GetAtt' ? (getAttTarget(argument)?.[0] ?? '') : '';
}
