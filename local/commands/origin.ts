import { missingPost } from '../world/posts.ts';

/** Where the posts of a local run come from. */
export function describeOrigin({ POST_URL: postUrl }: NodeJS.ProcessEnv): string {
  return postUrl === undefined
    ? `Posts come from a stub, which has every post but ${missingPost} (and none by name); POST_URL names another origin`
    : `Posts come from ${URL.parse(postUrl)?.origin ?? 'elsewhere'}, as POST_URL says`;
}

const PROXIES = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'];

/** That a proxy of the environment is not on the way to the origin, where one might think so. */
export function proxyPassedOver(env: NodeJS.ProcessEnv): string | undefined {
  const proxy = PROXIES.find((name) => env[name]);
  return env.POST_URL === undefined || proxy === undefined
    ? undefined
    : `${proxy} is passed over: the function connects to the origin, and to S3, by itself`;
}
