const counts = new Intl.NumberFormat('en');
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** `12,345` */
export function formatCount(count: number): string {
  return counts.format(count);
}

/** `12,345 posts`, `1 post` */
export function formatNumberOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `98.3 %`; what is neither none nor all never reads as 0 or 100. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  const percent = (100 * part) / whole;
  if (percent < 0.1) return '< 0.1 %';
  if (percent > 99.9 && part < whole) return '> 99.9 %';
  return `${tenths.format(percent)} %`;
}

/** `1,234.5` above ten, and two places below. */
export function formatRate(perSecond: number): string {
  return perSecond >= 100 ? counts.format(Math.round(perSecond)) : `${Number(perSecond.toPrecision(3))}`;
}

/** `41 ms`, `1.24 s`, `2 min 03 s`, `1 h 02 min` */
export function formatMs(ms: number): string {
  if (ms < 1_000) return `${Number(ms.toPrecision(3))} ms`;
  if (ms < 9_995) return `${(ms / 1_000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${twoDigits(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${twoDigits(minutes % 60)} min`;
}

/** A mark of a time axis whose marks are `stepMs` apart: `250 ms`, `1.5 s`, `2:30`, `1:02:30`. */
export function formatTimeMark(ms: number, stepMs: number): string {
  if (ms === 0) return '0';
  if (ms < 1_000 && stepMs < 1_000) return `${Number(ms.toPrecision(6))} ms`;
  const places = Math.max(0, Math.ceil(3 - Math.log10(stepMs) - 1e-9));
  if (ms < 60_000) return `${(ms / 1_000).toFixed(places)} s`;
  // Rounded as a whole, so that no mark reads 1:60.
  const [whole = '', fraction] = (ms / 1_000).toFixed(places).split('.');
  const seconds = Number(whole);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const head = hours > 0 ? `${hours}:${twoDigits(minutes)}` : `${minutes}`;
  return `${head}:${twoDigits(seconds % 60)}${fraction === undefined ? '' : `.${fraction}`}`;
}

/** `2026-11-23 06:00:00 UTC`; what is no time stays as it is. */
export function formatInstant(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function twoDigits(count: number): string {
  return `${count}`.padStart(2, '0');
}
