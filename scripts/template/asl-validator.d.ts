/** The package has no types of its own. */
declare module 'asl-validator' {
  export default function validate(
    definition: unknown,
    options?: object,
  ): { readonly isValid: boolean; readonly errorsText: (separator?: string) => string };
}
