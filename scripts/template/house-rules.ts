import type { Finding, Properties, Template } from './template.ts';
import { asText, at, findUnless, isObject, resourcesOf, targetOf } from './template.ts';

type Rule = (properties: Properties, logicalId: string, template: Template) => Finding[];

const rules: Readonly<Record<string, Rule>> = {
  'AWS::S3::Bucket': checkBucket,
  'AWS::SQS::Queue': checkQueue,
  'AWS::Logs::LogGroup': checkLogGroup,
  'AWS::Lambda::Function': checkFunction,
  'AWS::Lambda::Permission': checkInvoker,
  'AWS::ApiGatewayV2::Api': checkCors,
  'AWS::ApiGatewayV2::Stage': checkStage,
  'AWS::ApiGatewayV2::Route': checkRoute,
  'AWS::Events::Rule': checkRule,
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
  return [...findings, ...kept, ...checkOverwrites(logicalId, template)];
}

/**
 * That what stands in the bucket is replaced by no one: a policy denies whatever makes an object without a condition.
 * Under some names, the condition may be that a certain object is replaced; and what Step Functions writes has none.
 */
function checkOverwrites(bucketId: string, template: Template): Finding[] {
  const named = (end: string): RegExp => new RegExp(`^\\$\\{${bucketId}\\.Arn\\}/[^*?]*${end}$`);
  const results = named('map-results/\\*');
  const replaced = ['manifest\\.json', 'html', 'ndjson', 'ndjson\\.gz', 'progress\\.json'].map((ending) =>
    named(`\\*\\.${ending}`),
  );
  const denied = [
    { keys: ['s3:if-none-match'], except: [results, ...replaced] },
    { keys: ['s3:if-none-match', 's3:if-match'], except: [results] },
  ];
  const statements = statementsAbout(bucketId, 'AWS::S3::BucketPolicy', 'Bucket', template);
  return denied.flatMap(({ keys, except }) => {
    const condition = {
      Null: Object.fromEntries(keys.map((key) => [key, true])),
      Bool: { 's3:ObjectCreationOperation': true },
    };
    const isThere = statements.some(({ Effect, Principal, Action, NotResource, Condition }) => {
      const exceptions = [NotResource].flat().map((resource) => asText(resource) ?? '');
      return (
        Effect === 'Deny' &&
        Principal === '*' &&
        Action === 's3:PutObject' &&
        exceptions.every((resource) => except.some((pattern) => pattern.test(resource))) &&
        JSON.stringify(Condition) === JSON.stringify(condition)
      );
    });
    return findUnless(isThere, bucketId, `a policy that denies writes without ${keys.join(' and ')}`);
  });
}

function deniesPlainHttp(bucketId: string, template: Template): boolean {
  return statementsAbout(bucketId, 'AWS::S3::BucketPolicy', 'Bucket', template).some((statement) => {
    const resources = [statement.Resource].flat().map((resource) => asText(resource) ?? '');
    const coversBoth = [/\/\*$/, /[^*]$/].every((end) =>
      resources.some((text) => text.includes(bucketId) && end.test(text)),
    );
    return coversBoth && statement.Action === 's3:*' && isDenialOfPlainHttp(statement);
  });
}

/** The statements of the policies that name a resource under `key`. */
function statementsAbout(logicalId: string, type: string, key: string, template: Template): Properties[] {
  return resourcesOf(type, template)
    .filter(([, policy]) => [policy[key]].flat().some((owner) => targetOf(owner) === logicalId))
    .flatMap(([, { PolicyDocument }]) => [at(PolicyDocument, 'Statement')].flat())
    .filter(isObject);
}

function isDenialOfPlainHttp({ Effect, Principal, Condition }: Properties): boolean {
  const isPlainHttp = JSON.stringify(Condition) === '{"Bool":{"aws:SecureTransport":false}}';
  return Effect === 'Deny' && Principal === '*' && isPlainHttp;
}

function checkQueue(properties: Properties, logicalId: string, template: Template): Finding[] {
  const { SqsManagedSseEnabled: sse, KmsMasterKeyId } = properties;
  const isEncrypted = sse === true || KmsMasterKeyId !== undefined;
  const isForTls = statementsOnQueue(logicalId, template).some(
    (statement) => statement.Action === 'sqs:*' && isDenialOfPlainHttp(statement),
  );
  return [
    ...findUnless(isEncrypted, `${logicalId}.Properties.SqsManagedSseEnabled`, 'true', sse),
    ...findUnless(isForTls, logicalId, 'a policy that denies plain HTTP'),
  ];
}

function statementsOnQueue(queueId: string, template: Template): Properties[] {
  const isMeant = ({ Resource }: Properties): boolean => asText(Resource) === `\${${queueId}.Arn}`;
  return statementsAbout(queueId, 'AWS::SQS::QueuePolicy', 'Queues', template).filter(isMeant);
}

/** An event that a target does not take is lost without a queue that takes it; EventBridge does not say so. */
function checkRule({ Targets }: Properties, logicalId: string, template: Template): Finding[] {
  return [Targets ?? []].flat().flatMap((target, i) => {
    const here = `${logicalId}.Properties.Targets[${i}]`;
    const queue = at(target, 'DeadLetterConfig', 'Arn');
    const takesEvents = statementsOnQueue(targetOf(queue), template).some(
      ({ Effect, Principal, Action, Condition }) =>
        Effect === 'Allow' &&
        at(Principal, 'Service') === 'events.amazonaws.com' &&
        Action === 'sqs:SendMessage' &&
        asText(at(Condition, 'ArnEquals', 'aws:SourceArn')) === `\${${logicalId}.Arn}`,
    );
    const retries = at(target, 'RetryPolicy');
    const isBounded = ['MaximumEventAgeInSeconds', 'MaximumRetryAttempts'].every(
      (key) => typeof at(retries, key) === 'number',
    );
    return [
      ...findUnless(takesEvents, `${here}.DeadLetterConfig`, 'a queue that takes what the rule sends', queue),
      ...findUnless(isBounded, `${here}.RetryPolicy`, 'an age and a number of attempts', retries),
    ];
  });
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

/** Without limits of its own, the API may be called as often as all of the account's together. */
function checkStage({ DefaultRouteSettings, AccessLogSettings }: Properties, logicalId: string): Finding[] {
  const here = `${logicalId}.Properties`;
  const limits = ['ThrottlingRateLimit', 'ThrottlingBurstLimit'].flatMap((key) => {
    const limit = at(DefaultRouteSettings, key);
    return findUnless(Number(limit) > 0, `${here}.DefaultRouteSettings.${key}`, 'a limit', limit);
  });
  const format = String(at(AccessLogSettings, 'Format'));
  const saysWho = format.includes('$context.identity.userArn');
  return [
    ...limits,
    ...findUnless(saysWho, `${here}.AccessLogSettings`, "a log with the caller's Arn", format),
  ];
}

function checkCors(
  { CorsConfiguration: cors }: Properties,
  logicalId: string,
  template: Template,
): Finding[] {
  if (cors === undefined) return [];
  const here = `${logicalId}.Properties.CorsConfiguration`;
  const origins = [at(cors, 'AllowOrigins') ?? []].flat();
  const areNamed = origins.every((origin) => !String(origin).includes('*'));
  const preflighted = resourcesOf('AWS::ApiGatewayV2::Route', template).filter(([, { RouteKey }]) =>
    /^(ANY |OPTIONS |\$default$)/.test(String(RouteKey)),
  );
  return [
    ...findUnless(areNamed, `${here}.AllowOrigins`, 'origins that are named', origins),
    // Else a preflight request, which nobody signs, is refused there.
    ...preflighted.flatMap(([route, { RouteKey }]) =>
      findUnless(false, `${route}.Properties.RouteKey`, 'a method but OPTIONS', RouteKey),
    ),
  ];
}
