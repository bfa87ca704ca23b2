import { onTheme } from './theme.ts';

/** Colours of page.css, for what is drawn. */
export interface Colours {
  readonly surface: string;
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  readonly selected: string;
  readonly dimmed: string;
  readonly paused: string;
  readonly accent: string;
  readonly fulfilled: string;
  readonly rejected: string;
}

const NAMES = [
  'surface',
  'ink',
  'muted',
  'grid',
  'selected',
  'dimmed',
  'paused',
  'accent',
  'fulfilled',
  'rejected',
] as const;

/** Outcomes that page.css has a colour for. */
const KNOWN: readonly string[] = [
  'fulfilled',
  'NOT_FOUND',
  'NO_DATA',
  'HTTP_ERROR',
  'RATE_LIMITED',
  'TIMEOUT',
  'NETWORK',
  'BAD_JSON',
  'TOO_LARGE',
  'DEADLINE',
  'partial',
  'failed',
];

/** How much of a wait is its outcome's colour. */
const WAIT_SHARE = 0.32;

let colours: Colours | undefined;
let shades = new Map<string, Shades>();
let pausePattern: CanvasPattern | string | undefined;

onTheme(() => {
  colours = undefined;
  shades = new Map();
  pausePattern = undefined;
});

/** The colours of the theme that is shown. */
export function currentColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  colours ??= Object.fromEntries(
    NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  ) as Readonly<Record<(typeof NAMES)[number], string>>;
  return colours;
}

/** The variable of page.css with the colour of an outcome; what a later version may add has one for all. */
export function outcomeVariable(outcome: string): string {
  return `--${KNOWN.includes(outcome) ? outcome : 'other'}`;
}

/** How an outcome is drawn. */
export interface Shades {
  /** An attempt. */
  readonly solid: string;
  /** A wait. */
  readonly light: string;
  /** A wait, where there is room for a pattern. */
  readonly hatched: CanvasPattern | string;
}

/** The shades of an outcome in the theme that is shown. */
export function shadesOf(outcome: string, context: CanvasRenderingContext2D): Shades {
  const known = shades.get(outcome);
  if (known) return known;
  const { surface } = currentColours();
  const solid = getComputedStyle(document.documentElement).getPropertyValue(outcomeVariable(outcome)).trim();
  const light = mix(solid, surface, WAIT_SHARE);
  const made = { solid, light, hatched: hatch(solid, light, context) };
  shades.set(outcome, made);
  return made;
}

/** What a pause is shaded with in the theme that is shown. */
export function pauseShade(context: CanvasRenderingContext2D): CanvasPattern | string {
  const { paused, surface } = currentColours();
  pausePattern ??= hatch(paused, surface, context);
  return pausePattern;
}

/** Two colours as `#rrggbb`, of which `share` is the first. */
function mix(first: string, second: string, share: number): string {
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [first, second].map((colour) => Number.parseInt(colour.slice(at, at + 2), 16));
    return Math.round((a ?? 0) * share + (b ?? 0) * (1 - share));
  });
  return `#${parts.map((part) => part.toString(16).padStart(2, '0')).join('')}`;
}

/** Stripes of one colour on another. */
function hatch(stripe: string, ground: string, context: CanvasRenderingContext2D): CanvasPattern | string {
  const size = 6;
  const tile = document.createElement('canvas');
  tile.width = size;
  tile.height = size;
  const brush = tile.getContext('2d');
  if (!brush) return ground;
  brush.fillStyle = ground;
  brush.fillRect(0, 0, size, size);
  brush.strokeStyle = stripe;
  brush.lineWidth = 1.2;
  // Each stripe once more at either corner, so that tiles join.
  for (const shift of [-size, 0, size]) {
    brush.beginPath();
    brush.moveTo(shift - 1, size + 1);
    brush.lineTo(shift + size + 1, -1);
    brush.stroke();
  }
  return context.createPattern(tile, 'repeat') ?? ground;
}
