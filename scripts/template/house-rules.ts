import { asText, type Finding, isObject, type Resource, show, type Template } from './template.ts';

type Rule = (resource: Resource, logicalId: string, template: Template) => readonly RuleFinding[];
type RuleFinding = Omit<Finding, 'logicalId'>;

const rules: Readonly<Record<string, Rule>> = {
  'AWS::S3::Bucket': checkBucket,
  'AWS::SQS::Queue': checkQueue,
  'AWS::Logs::LogGroup': checkLogGroup,
  'AWS::Lambda::Function': checkFunction,
  'AWS::ApiGatewayV2::Route': checkRoute,
};

/** Finds resources that CloudFormation would take, but that are not safe or not of the kind we deploy. */
export function checkHouseRules(template: Template): Finding[] {
  return Object.entries(template.Resources).flatMap(([logicalId, resource]) =>
    (rules[resource.Type]?.(resource, logicalId, template) ?? []).map((found) => ({ logicalId, ...found })),
  );
}

function checkBucket(resource: Resource, logicalId: string, template: Template): readonly RuleFinding[] {
  const { PublicAccessBlockConfiguration: block, BucketEncryption } = resource.Properties ?? {};
  const findings: RuleFinding[] = [
    'BlockPublicAcls',
    'BlockPublicPolicy',
    'IgnorePublicAcls',
    'RestrictPublicBuckets',
  ]
    .map((name) => ({ name, value: isObject(block) ? block[name] : undefined }))
    .filter(({ value }) => value !== true)
    .map(({ name, value }) => ({
      path: `Properties.PublicAccessBlockConfiguration.${name}`,
      expected: 'true',
      got: show(value),
    }));
  if (BucketEncryption === undefined) {
    findings.push({ path: 'Properties.BucketEncryption', expected: 'encryption', got: 'nothing' });
  }
  if (!deniesPlainHttp(logicalId, template)) {
    findings.push({ path: '', expected: 'a bucket policy that denies requests without TLS', got: 'none' });
  }
  // osls empties and removes its own bucket of deployment artifacts together with the stack.
  if (logicalId === 'ServerlessDeploymentBucket') return findings;
  for (const key of ['DeletionPolicy', 'UpdateReplacePolicy'] as const) {
    if (resource[key] !== 'Retain')
      findings.push({ path: key, expected: 'Retain', got: show(resource[key]) });
  }
  return findings;
}

function deniesPlainHttp(bucketId: string, template: Template): boolean {
  return Object.values(template.Resources)
    .filter(({ Type, Properties }) => {
      return Type === 'AWS::S3::BucketPolicy' && asText(Properties?.Bucket) === `\${${bucketId}}`;
    })
    .flatMap(({ Properties }) => {
      const document = Properties?.PolicyDocument;
      return isObject(document) ? [document.Statement].flat() : [];
    })
    .some((statement) => {
      if (!isObject(statement) || statement.Effect !== 'Deny' || statement.Principal !== '*') return false;
      const resources = [statement.Resource].flat().map((resource) => asText(resource) ?? '');
      return (
        statement.Action === 's3:*' &&
        JSON.stringify(statement.Condition) === '{"Bool":{"aws:SecureTransport":false}}' &&
        resources.some((text) => text.includes(bucketId) && text.endsWith('/*')) &&
        resources.some((text) => text.includes(bucketId) && !text.endsWith('/*'))
      );
    });
}

function checkQueue({ Properties = {} }: Resource): readonly RuleFinding[] {
  const { SqsManagedSseEnabled, KmsMasterKeyId } = Properties;
  if (SqsManagedSseEnabled === true || KmsMasterKeyId !== undefined) return [];
  return [{ path: 'Properties.SqsManagedSseEnabled', expected: 'true', got: show(SqsManagedSseEnabled) }];
}

function checkLogGroup({ Properties = {} }: Resource): readonly RuleFinding[] {
  if (Properties.RetentionInDays !== undefined) return [];
  return [{ path: 'Properties.RetentionInDays', expected: 'a number of days', got: 'nothing' }];
}

function checkFunction({ Properties = {} }: Resource, _: string, template: Template): readonly RuleFinding[] {
  const findings: RuleFinding[] = [];
  const { Runtime, Architectures, FunctionName } = Properties;
  if (Runtime !== 'nodejs24.x') {
    findings.push({ path: 'Properties.Runtime', expected: 'nodejs24.x', got: show(Runtime) });
  }
  if (show(Architectures) !== '["arm64"]') {
    findings.push({ path: 'Properties.Architectures', expected: '["arm64"]', got: show(Architectures) });
  }
  // Without one of ours, Lambda makes a log group that keeps everything for ever.
  const logGroup = `/aws/lambda/${asText(FunctionName)}`;
  const names = Object.values(template.Resources)
    .filter(({ Type }) => Type === 'AWS::Logs::LogGroup')
    .map(({ Properties: group }) => group?.LogGroupName);
  if (!names.includes(logGroup)) {
    findings.push({ path: 'Properties.FunctionName', expected: `a log group ${logGroup}`, got: show(names) });
  }
  findings.push(...checkOriginConcurrency(Properties));
  return findings;
}

/** Parts are fetched by functions with as many requests in flight: not one would fit into the total. */
function checkOriginConcurrency({ Environment }: Readonly<Record<string, unknown>>): readonly RuleFinding[] {
  const variables = isObject(Environment) && isObject(Environment.Variables) ? Environment.Variables : {};
  const { ORIGIN_CONCURRENCY, CONCURRENCY } = variables;
  if (ORIGIN_CONCURRENCY === undefined || Number(ORIGIN_CONCURRENCY) >= Number(CONCURRENCY)) return [];
  const path = 'Properties.Environment.Variables.ORIGIN_CONCURRENCY';
  return [{ path, expected: `at least CONCURRENCY, ${show(CONCURRENCY)}`, got: show(ORIGIN_CONCURRENCY) }];
}

function checkRoute({ Properties = {} }: Resource): readonly RuleFinding[] {
  const { AuthorizationType } = Properties;
  if (AuthorizationType === 'AWS_IAM') return [];
  return [{ path: 'Properties.AuthorizationType', expected: 'AWS_IAM', got: show(AuthorizationType) }];
}
