import type { Fact } from './facts.ts';

/** What stands above the cells of a column, and what a row has there. */
export type Column<Row> = readonly [head: string, cell: (row: Row) => string];

export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(([head]) => head)),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map(([, cell]) => cell(row)))),
  ].join('\n');
}

/** The value and the name of a fact, with where it was read. */
export function link({ value, name, source, read }: Fact): string {
  return `[${count(value)} ${name}](${source})${read === 'source' ? '' : ` (${read})`}`;
}

/** An amount, and whether it is more than there may be. */
export function within(value: number, most: number, unit: string): string {
  return value > most ? `**${amount(value)} ${unit}, too much**` : `${amount(value)} ${unit}`;
}

export function count(number: number): string {
  return number.toLocaleString('en');
}

/** Two digits, or whole numbers from 100 on. */
export function amount(number: number): string {
  return number >= 100 ? count(Math.round(number)) : String(Number(number.toPrecision(2)));
}

export function dollars(sum: number): string {
  if (sum >= 100) return `$${count(Math.round(sum))}`;
  return `$${sum >= 0.1 ? sum.toFixed(2) : Number(sum.toPrecision(1))}`;
}

/** In the unit that keeps the number short. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${amount(seconds)} s`;
  if (seconds < 7_200) return `${amount(seconds / 60)} min`;
  return seconds < 172_800 ? `${amount(seconds / 3_600)} h` : `${amount(seconds / 86_400)} days`;
}
