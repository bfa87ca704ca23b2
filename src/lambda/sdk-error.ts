/** What is read of an error of the SDK. */
export interface SdkError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly $fault?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The names that AWS or the system has for an error, fit for a caller; of none, that nothing came. */
export function nameOf(error: unknown): string {
  if (error === undefined) return 'no answer';
  const { name, code } = Object(error) as SdkError;
  const words = [
    ...(/^[A-Za-z]{1,64}$/.exec(String(name ?? '')) ?? []),
    ...(/^[A-Z][A-Z_]{1,63}$/.exec(String(code)) ?? []),
  ];
  return words.join(' ') || 'an error';
}
