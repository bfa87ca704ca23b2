import { currentColours, type Shades, shadesOf } from '../base/colours.ts';
import { type Level, NONE } from '../rows/pyramid.ts';
import type { Rows } from '../rows/rows.ts';
import type { Range } from './view.ts';

/** Where rows are drawn, in pixels of the canvas. */
export interface Frame {
  readonly context: CanvasRenderingContext2D;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Pixels of the canvas to one of CSS. */
  readonly ratio: number;
  readonly x: Range;
  readonly y: Range;
}

/** What is drawn. */
export interface Picture {
  readonly rows: Rows;
  /** Of all rows, and of those that are chosen. */
  readonly all: readonly Level[];
  readonly levels: readonly Level[];
  /** Outcomes; undefined: all. */
  readonly chosen: ReadonlySet<number> | undefined;
}

/** Waits of a row that are drawn one by one; of more, their sum is. */
const MOST_WAITS = 8;
/** In CSS pixels. */
const GAP_FROM = 4;
const HATCH_FROM = 7;
const THICKEST = 16;
const MARK_WIDTH = 3;

/** The level whose groups are one to two CSS pixels high; undefined where each row has a pixel of its own. */
export function levelFor(levels: readonly Level[], rowsShown: number, cssHeight: number): Level | undefined {
  const rowsPerPixel = rowsShown / cssHeight;
  if (rowsPerPixel <= 1) return undefined;
  return levels[Math.min(Math.ceil(Math.log2(rowsPerPixel)), levels.length) - 1];
}

/** Draws rows, or groups of them where there are more than pixels: a few rectangles a line, whatever there is. */
export function drawRows(frame: Frame, picture: Picture): void {
  const { context, left, top, width, height } = frame;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  const cssHeight = height / frame.ratio;
  const rowsShown = frame.y.max - frame.y.min;
  const level = levelFor(picture.levels, rowsShown, cssHeight);
  if (level) drawGroups(frame, picture, level, levelFor(picture.all, rowsShown, cssHeight) ?? level);
  else drawEach(frame, picture);
  context.restore();
}

function drawEach(frame: Frame, picture: Picture): void {
  const { context, ratio, y } = frame;
  const { rows, chosen } = picture;
  const colours = currentColours();
  const shades = rows.outcomes.map((outcome) => shadesOf(outcome, context));
  const pitch = frame.height / (y.max - y.min);
  const gap = pitch >= GAP_FROM * ratio ? Math.max(1, pitch * 0.22) : 0;
  const thickness = Math.max(1, Math.min(Math.round(pitch - gap), THICKEST * ratio));
  const brush = brushOf(frame);
  const last = Math.min(rows.count, Math.ceil(y.max));
  for (let row = Math.max(0, Math.floor(y.min)); row < last; row += 1) {
    const from = rows.startMs[row] ?? 0;
    const to = rows.endMs[row] ?? 0;
    if (Number.isNaN(from) || to < frame.x.min || from > frame.x.max) continue;
    const top = Math.round(frame.top + (row + 0.5 - y.min) * pitch - thickness / 2);
    const outcome = rows.outcome[row] ?? 0;
    const shade = shades[outcome];
    if (!shade) continue;
    if (chosen && !chosen.has(outcome)) {
      brush.bar(colours.dimmed, from, to, top, thickness);
      continue;
    }
    const light = thickness >= HATCH_FROM * ratio ? shade.hatched : shade.light;
    if (rows.attempts[row] === 0) {
      brush.bar(light, from, to, top, thickness);
      continue;
    }
    brush.bar(shade.solid, from, to, top, thickness);
    drawWaits(row, top, light);
    if (rows.marked[row] === 1 && thickness >= GAP_FROM * ratio)
      brush.diamond(colours.ink, to, top, thickness);
  }

  /** What is known is the sum of a post's waits: they are drawn of one length, between attempts of one length. */
  function drawWaits(row: number, top: number, light: string | CanvasPattern): void {
    const waited = rows.waitedMs[row] ?? 0;
    if (waited <= 0) return;
    const attempts = rows.attempts[row] ?? 1;
    const [start, end] = [rows.startMs[row] ?? 0, rows.endMs[row] ?? 0];
    // A post that waited after its only attempt ended with the wait.
    if (attempts === 1) {
      brush.overlay(light, end - waited, end, top, thickness);
      return;
    }
    const waits = attempts - 1 > MOST_WAITS || thickness < 3 * ratio ? 1 : attempts - 1;
    const wait = waited / waits;
    const attempt = (end - start - waited) / (waits + 1);
    for (let at = 0; at < waits; at += 1) {
      const from = start + attempt + at * (attempt + wait);
      brush.overlay(light, from, from + wait, top, thickness);
    }
  }
}

/**
 * A group is a pale bar from its first start to its last end, and on it a solid one from its mean start to its mean
 * end in the colour of its most frequent outcome, with its waits paler; where posts of it were rejected, the latest end
 * of these is marked in the colour of the most frequent reason.
 */
function drawGroups(frame: Frame, picture: Picture, level: Level, all: Level): void {
  const { context, ratio, y } = frame;
  const { rows, chosen } = picture;
  const colours = currentColours();
  const shades: readonly Shades[] = rows.outcomes.map((outcome) => shadesOf(outcome, context));
  const pitch = (frame.height * level.each) / (y.max - y.min);
  const brush = brushOf(frame);
  const last = Math.min(level.count, Math.ceil(y.max / level.each));
  for (let group = Math.max(0, Math.floor(y.min / level.each)); group < last; group += 1) {
    const top = Math.round(frame.top + (group - y.min / level.each) * pitch);
    const thickness = Math.max(1, Math.round(frame.top + (group + 1 - y.min / level.each) * pitch) - top);
    const outcome = level.top[group] ?? NONE;
    const shade = shades[outcome];
    if (chosen) brush.bar(colours.dimmed, all.firstMs[group] ?? 0, all.lastMs[group] ?? 0, top, thickness);
    if (!shade) continue;
    if (!chosen) brush.bar(shade.light, level.firstMs[group] ?? 0, level.lastMs[group] ?? 0, top, thickness);
    const attempted = level.attempted[group] ?? 0;
    if (attempted > 0) {
      const from = (level.startMs[group] ?? 0) / attempted;
      const to = (level.endMs[group] ?? 0) / attempted;
      const attempting = (to - from - (level.waitedMs[group] ?? 0) / attempted) / 2;
      brush.bar(shade.solid, from, to, top, thickness, MARK_WIDTH * ratio);
      brush.overlay(shade.light, from + attempting, to - attempting, top, thickness);
    }
    const rejected = shades[level.topRejected[group] ?? NONE];
    if (rejected)
      brush.mark(rejected.solid, level.rejectedMs[group] ?? 0, top, thickness, MARK_WIDTH * ratio);
  }
}

/** Draws in times, within the width of a frame. */
function brushOf({ context, left, width, ratio, x }: Frame) {
  const scale = width / (x.max - x.min);
  // Far beyond the frame, positions would outgrow what canvases count with.
  const place = (ms: number) => left + Math.min(Math.max((ms - x.min) * scale, -8), width + 8);
  let style: string | CanvasPattern | undefined;
  const fill = (wanted: string | CanvasPattern) => {
    if (wanted === style) return;
    context.fillStyle = wanted;
    style = wanted;
  };
  return {
    /** At least as wide as `least`. */
    bar(
      colour: string | CanvasPattern,
      from: number,
      to: number,
      top: number,
      height: number,
      least = ratio,
    ) {
      const start = place(from);
      const end = place(to);
      if (end < left || start > left + width) return;
      fill(colour);
      context.fillRect(start, top, Math.max(end - start, least), height);
    },
    /** Nothing where there is less than a pixel of it. */
    overlay(colour: string | CanvasPattern, from: number, to: number, top: number, height: number) {
      const start = place(from);
      const end = place(to);
      if (end - start < ratio / 2 || end < left || start > left + width) return;
      fill(colour);
      context.fillRect(start, top, end - start, height);
    },
    mark(colour: string, at: number, top: number, height: number, wide: number) {
      const end = place(at);
      if (end < left || end > left + width + wide) return;
      fill(colour);
      context.fillRect(Math.max(left, end - wide), top, wide, height);
    },
    diamond(colour: string, at: number, top: number, height: number) {
      const end = place(at);
      if (end < left || end > left + width) return;
      const half = Math.min(height, 10 * ratio) / 2;
      const [x0, y0] = [end + half + 3 * ratio, top + height / 2];
      fill(colour);
      context.beginPath();
      context.moveTo(x0 - half, y0);
      context.lineTo(x0, y0 - half);
      context.lineTo(x0 + half, y0);
      context.lineTo(x0, y0 + half);
      context.fill();
    },
  };
}
