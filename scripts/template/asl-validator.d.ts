/** The package has no types of its own. */
declare module 'asl-validator' {
  interface Result {
    readonly isValid: boolean;
    readonly errorsText: (separator?: string) => string;
  }
  export default function validate(definition: unknown, options?: object): Result;
}
