/**
 * What a run found out of its origin, or bore out of what runs before it had found: null where nothing was. Of a part of
 * a run, what the origin takes of that part beside the others.
 */
export interface Learned {
  /** Requests a second that the origin takes, as its refusals showed. */
  readonly perSecond: number | null;
  /** Requests in flight that it takes. */
  readonly inFlight: number | null;
  /** Requests a second that its quota fields allow, whoever shares the quota. */
  readonly told: number | null;
}
