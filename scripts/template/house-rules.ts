import type { Finding, Properties, Template } from './template.ts';
import { asText, at, findUnless, isObject, resourcesOf } from './template.ts';

type Rule = (properties: Properties, logicalId: string, template: Template) => Finding[];

const rules: Readonly<Record<string, Rule>> = {
  'AWS::S3::Bucket': checkBucket,
  'AWS::SQS::Queue': checkQueue,
  'AWS::Logs::LogGroup': checkLogGroup,
  'AWS::Lambda::Function': checkFunction,
  'AWS::Lambda::Permission': checkInvoker,
  'AWS::ApiGatewayV2::Route': checkRoute,
};

/** Finds resources that CloudFormation would take, but that are not safe or not of the kind we deploy. */
export function checkHouseRules(template: Template): Finding[] {
  return Object.entries(rules).flatMap(([type, check]) =>
    resourcesOf(type, template).flatMap(([logicalId, properties]) => check(properties, logicalId, template)),
  );
}

function checkBucket(properties: Properties, logicalId: string, template: Template): Finding[] {
  const { PublicAccessBlockConfiguration: block, BucketEncryption: encryption } = properties;
  const blocks = ['BlockPublicAcls', 'BlockPublicPolicy', 'IgnorePublicAcls', 'RestrictPublicBuckets'];
  const here = `${logicalId}.Properties`;
  const findings = [
    ...blocks.flatMap((name) => {
      const value = isObject(block) ? block[name] : undefined;
      return findUnless(value === true, `${here}.PublicAccessBlockConfiguration.${name}`, 'true', value);
    }),
    ...findUnless(encryption !== undefined, `${here}.BucketEncryption`, 'encryption'),
    ...findUnless(deniesPlainHttp(logicalId, template), logicalId, 'a policy that denies plain HTTP'),
  ];
  // osls empties and removes its own bucket of deployment artifacts together with the stack.
  if (logicalId === 'ServerlessDeploymentBucket') return findings;
  const { DeletionPolicy, UpdateReplacePolicy } = template.Resources[logicalId] ?? {};
  const policies = Object.entries({ DeletionPolicy, UpdateReplacePolicy });
  const kept = policies.flatMap(([key, value]) =>
    findUnless(value === 'Retain', `${logicalId}.${key}`, 'Retain', value),
  );
  return [...findings, ...kept];
}

function deniesPlainHttp(bucketId: string, template: Template): boolean {
  return resourcesOf('AWS::S3::BucketPolicy', template)
    .filter(([, { Bucket }]) => asText(Bucket) === `\${${bucketId}}`)
    .flatMap(([, { PolicyDocument }]) => [at(PolicyDocument, 'Statement')].flat())
    .some((statement) => {
      if (!isObject(statement) || statement.Effect !== 'Deny' || statement.Principal !== '*') return false;
      const resources = [statement.Resource].flat().map((resource) => asText(resource) ?? '');
      const coversBoth = [/\/\*$/, /[^*]$/].every((end) =>
        resources.some((text) => text.includes(bucketId) && end.test(text)),
      );
      const isPlainHttp = JSON.stringify(statement.Condition) === '{"Bool":{"aws:SecureTransport":false}}';
      return coversBoth && isPlainHttp && statement.Action === 's3:*';
    });
}

function checkQueue({ SqsManagedSseEnabled: sse, KmsMasterKeyId }: Properties, logicalId: string): Finding[] {
  const isEncrypted = sse === true || KmsMasterKeyId !== undefined;
  return findUnless(isEncrypted, `${logicalId}.Properties.SqsManagedSseEnabled`, 'true', sse);
}

function checkLogGroup({ RetentionInDays: days }: Properties, logicalId: string): Finding[] {
  return findUnless(days !== undefined, `${logicalId}.Properties.RetentionInDays`, 'a number of days');
}

function checkFunction(properties: Properties, logicalId: string, template: Template): Finding[] {
  const { Runtime, Architectures, FunctionName, Role } = properties;
  const here = `${logicalId}.Properties`;
  const isArm = JSON.stringify(Architectures) === '["arm64"]';
  const isArn = asText(Role)?.endsWith('.Arn}') === true;
  // Without one of ours, Lambda makes a log group that keeps everything for ever.
  const logGroup = `/aws/lambda/${asText(FunctionName)}`;
  const logGroups = resourcesOf('AWS::Logs::LogGroup', template).map(([, { LogGroupName }]) => LogGroupName);
  return [
    ...findUnless(Runtime === 'nodejs24.x', `${here}.Runtime`, 'nodejs24.x', Runtime),
    ...findUnless(isArm, `${here}.Architectures`, '["arm64"]', Architectures),
    ...findUnless(isArn, `${here}.Role`, 'the Arn of a role', Role),
    ...findUnless(logGroups.includes(logGroup), `${here}.FunctionName`, `a log group ${logGroup}`, logGroups),
    ...checkOriginConcurrency(properties, logicalId),
  ];
}

/** Parts are fetched by functions with as many requests in flight: not one would fit into the total. */
function checkOriginConcurrency({ Environment }: Properties, logicalId: string): Finding[] {
  const total = at(Environment, 'Variables', 'ORIGIN_CONCURRENCY');
  const ofPart = at(Environment, 'Variables', 'CONCURRENCY');
  const holds = total === undefined || Number(total) >= Number(ofPart);
  const place = `${logicalId}.Properties.Environment.Variables.ORIGIN_CONCURRENCY`;
  return findUnless(holds, place, `at least CONCURRENCY, ${String(ofPart)}`, total);
}

/** A permission without a source lets every account's rules and APIs invoke the function. */
function checkInvoker({ Principal, SourceArn, SourceAccount }: Properties, logicalId: string): Finding[] {
  const here = `${logicalId}.Properties`;
  return [
    ...findUnless(Principal !== '*', `${here}.Principal`, 'a principal that is named', Principal),
    ...findUnless((SourceArn ?? SourceAccount) !== undefined, `${here}.SourceArn`, 'a source that is named'),
  ];
}

function checkRoute({ AuthorizationType: type }: Properties, logicalId: string): Finding[] {
  return findUnless(type === 'AWS_IAM', `${logicalId}.Properties.AuthorizationType`, 'AWS_IAM', type);
}
