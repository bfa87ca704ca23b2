import { badInput } from '../../base/errors.ts';

/** RFC 3339, or a date alone. Date reads more, by the time zone of the machine. */
const TIME =
  /^(?<date>\d{4}-\d\d-\d\d)(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))?$/;

/** Reads a time. Throws BadInputError. */
export function parseTime(time: unknown, path: string): Date {
  if (typeof time === 'string') {
    const date = TIME.exec(time)?.groups?.date;
    // Of a day that its month does not have, Date makes one of the next month.
    if (date !== undefined && new Date(date).toJSON()?.startsWith(date)) return new Date(time);
  }
  throw badInput(path, 'an ISO 8601 time', time);
}
