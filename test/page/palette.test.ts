import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { REASON_CODES } from '../../src/fetch/outcome.ts';

type Rgb = readonly [red: number, green: number, blue: number];

/** How dichromats see linear colours (Machado, Oliveira and Fernandes 2009, full severity), and how others do. */
const EYES: Readonly<Record<string, readonly number[]>> = {
  all: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  'no red': [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  'no green': [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  'no blue': [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};

const OUTCOMES = ['fulfilled', ...REASON_CODES];

let css: string;

beforeAll(async () => {
  css = await readFile(join(import.meta.dirname, '../../page/page.css'), 'utf8');
});

describe.each(['light', 'dark'])('the colours of the %s page', (theme) => {
  const colour = (name: string): Rgb => {
    const start = theme === 'light' ? css.indexOf(':root {') : css.indexOf(':root[data-theme="dark"] {');
    const hex = new RegExp(`--${name}: #(\\w{6})`).exec(css.slice(start))?.[1] ?? '';
    return linear([0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  };

  it('tell outcomes apart, whatever kind of colour blindness one has', () => {
    const close = Object.entries(EYES).flatMap(([eye, matrix]) =>
      OUTCOMES.flatMap((a, at) =>
        OUTCOMES.slice(at + 1).flatMap((b) => {
          const apart = distance(seen(colour(a), matrix), seen(colour(b), matrix));
          return apart < 0.08 ? [`${a} and ${b}, ${eye}: ${apart.toFixed(3)}`] : [];
        }),
      ),
    );
    expect(close).toStrictEqual([]);
  });

  it('stand out from the surface: what is drawn by 3 to 1, what is written by 4.5', () => {
    const drawn = [...OUTCOMES, 'rejected', 'partial', 'failed', 'other', 'accent', 'control', 'focus'];
    const written = ['ink', 'muted', 'link'].flatMap((name) =>
      ['surface', 'ground', 'sunken', 'raised'].map((ground) => [name, ground] as const),
    );
    const badges = ['good', 'warn', 'bad'].map((name) => [name, `${name}-ground`] as const);
    const faint = [
      ...drawn.map((name) => [name, 'surface', 3] as const),
      ...[...written, ...badges].map((pair) => [...pair, 4.5] as const),
    ].filter(([name, ground, least]) => contrast(colour(name), colour(ground)) < least);
    expect(faint).toStrictEqual([]);
  });
});

function linear(bytes: readonly number[]): Rgb {
  const [red = 0, green = 0, blue = 0] = bytes.map((byte) => {
    const part = byte / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return [red, green, blue];
}

function seen([red, green, blue]: Rgb, matrix: readonly number[]): Rgb {
  const [r = 0, g = 0, b = 0] = [0, 3, 6].map((at) => {
    const part = (matrix[at] ?? 0) * red + (matrix[at + 1] ?? 0) * green + (matrix[at + 2] ?? 0) * blue;
    return Math.min(1, Math.max(0, part));
  });
  return [r, g, b];
}

/** In OKLab, where 0.02 is just noticed. */
function distance(a: Rgb, b: Rgb): number {
  const [from, to] = [oklab(a), oklab(b)];
  return Math.hypot(from[0] - to[0], from[1] - to[1], from[2] - to[2]);
}

function oklab([red, green, blue]: Rgb): Rgb {
  const l = Math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue);
  const m = Math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue);
  const s = Math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** As WCAG has it. */
function contrast(a: Rgb, b: Rgb): number {
  const luminance = ([red, green, blue]: Rgb) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((one, other) => other - one);
  return (light + 0.05) / (dark + 0.05);
}
