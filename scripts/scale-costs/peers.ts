import { cpuRateOf, type ScaleInputs, scaleOf } from './costs.ts';
import { assumed, deployed, limits, measured, prices } from './facts.ts';

/** What Step Functions would cost were the parts express workflows; undefined where a part outlives one. */
export function expressParts(inputs: ScaleInputs): number | undefined {
  const { parts, partSeconds } = scaleOf(inputs);
  if (partSeconds > limits.expressSeconds.value) return undefined;
  const transitions = deployed.statesPerExecution + parts;
  return transitions * prices.stateTransition.value + parts * expressExecution(partSeconds);
}

function expressExecution(seconds: number): number {
  // Without the error of a sum such as 0.1 + 0.2, which would be a step more.
  const billedSeconds = Math.ceil(Number((seconds * 10).toFixed(6))) / 10;
  return prices.expressRequest.value + billedSeconds * assumed.expressGb * prices.expressGbSecond.value;
}

/** An HTTP Task for each post, in a standard child of one state. */
export function standardHttpTasks({ posts, originRatePerSecond, latencyMs }: ScaleInputs) {
  const rate = Math.min(
    originRatePerSecond,
    limits.httpTasks.value,
    limits.standardStarts.value,
    limits.mapConcurrency.value / (latencyMs / 1_000),
  );
  // The start of each child and its state; the Map itself.
  const transitions = 2 * posts + 1;
  return { seconds: posts / rate, total: transitions * prices.stateTransition.value };
}

/** An HTTP Task for each post, in express children that have an inline Map over some hundreds each. */
export function expressHttpTasks({ posts, originRatePerSecond, latencyMs, postBytes }: ScaleInputs) {
  const batch = Math.min(
    assumed.expressBatch,
    Math.floor(limits.payloadBytes.value / (postBytes + measured.lineBytes)),
  );
  const rate = Math.min(originRatePerSecond, limits.httpTasks.value);
  const children = Math.ceil(posts / batch);
  const childSeconds = Math.max(
    Math.ceil(batch / limits.inlineConcurrency.value) * (latencyMs / 1_000),
    batch / rate,
  );
  const total = (children + 1) * prices.stateTransition.value + children * expressExecution(childSeconds);
  return { children, childSeconds, seconds: posts / rate, total };
}

/** This engine as one process in one Fargate task, which writes the same documents, part by part. */
export function oneContainer(inputs: ScaleInputs) {
  const { posts, latencyMs, originRatePerSecond, originConcurrency } = inputs;
  const rate = Math.min(
    originRatePerSecond,
    Math.min(originConcurrency, deployed.maxConcurrency) / (latencyMs / 1_000),
    measured.postsPerSecond,
    cpuRateOf(assumed.containerVcpu),
  );
  const seconds = posts / rate;
  const hourly =
    assumed.containerVcpu * prices.fargateVcpuHour.value +
    assumed.containerGb * prices.fargateGbHour.value +
    prices.publicIpv4Hour.value;
  const { cost } = scaleOf(inputs);
  return { rate, seconds, total: (seconds / 3_600) * hourly + cost.s3Requests + cost.logs };
}
