import type uPlot from 'uplot';
import { announce } from '../base/announcer.ts';
import { formatMs } from '../base/format.ts';
import type { Point, Range, View } from './view.ts';

/** What a press of a key or a notch of a wheel zooms by. */
const STEP = 0.7;
/** What a press of an arrow key moves by, of what is shown. */
const PAN_SHARE = 0.15;
/** Pixels of a wheel that double what is shown. */
const WHEEL_PX = 240;
const LINE_PX = 16;
/** Least selection, in CSS pixels: a click that slips selects nothing. */
const SLIP_PX = 5;

/** Has a chart on `view` answer to wheel, mouse, fingers and, where `host` has the focus, keys. */
export function navigate(host: HTMLElement, chart: uPlot, view: View, axes: 'x' | 'xy'): void {
  const hasY = axes === 'xy';
  const { over } = chart;
  const setTouchAction = () => {
    // The page scrolls under a finger as long as there is nothing to move to in the chart.
    over.style.touchAction = hasY && !view.isWhole('y') ? 'none' : 'pan-y';
  };
  view.onChange(setTouchAction);
  setTouchAction();

  over.addEventListener(
    'wheel',
    (event) => {
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LINE_PX;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        view.zoom(2 ** ((event.deltaY * unit) / WHEEL_PX), pointAt(chart, event, hasY));
        return;
      }
      const [dx, dy] = event.shiftKey ? [event.deltaY + event.deltaX, 0] : [event.deltaX, event.deltaY];
      const x = Math.abs(dx) > Math.abs(dy) ? (dx * unit) / over.clientWidth : 0;
      const y = hasY && x === 0 ? (dy * unit) / over.clientHeight : 0;
      // At its end, the wheel is the page's.
      if (view.pan({ x, y })) event.preventDefault();
    },
    { passive: false },
  );
  over.addEventListener('mousedown', (event) => {
    if (event.button === 1) event.preventDefault();
  });
  dragWith(chart, view, hasY);

  host.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!act(event.key, view, hasY)) return;
    event.preventDefault();
    announce(`From ${formatMs(view.x.min)} to ${formatMs(view.x.max)}.`);
  });
}

/** Zooms by one step, in or out, around the middle. */
export function zoomStep(view: View, direction: 'in' | 'out', hasY = true): void {
  const around: Point = { x: middle(view.x), ...(hasY && { y: middle(view.y) }) };
  view.zoom(direction === 'in' ? STEP : 1 / STEP, around);
}

/** What uPlot's own dragging comes to: the hook that shows what was selected. */
export function showSelection(chart: uPlot, view: View, hasY: boolean): void {
  const { left, top, width, height } = chart.select;
  const x = width >= SLIP_PX ? between(chart, 'x', left, left + width) : undefined;
  const y = hasY && height >= SLIP_PX ? between(chart, 'y', top, top + height) : undefined;
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  view.show({ ...(x && { x }), ...(y && { y }) });
}

/** The mouse of uPlot without the drags that move the picture, and with a double click that shows all. */
export function mouseBindings(view: View): uPlot.Cursor.Bind {
  return {
    mousedown: (_, _target, handler) => (event) =>
      event.button === 0 && !event.shiftKey ? handler(event) : null,
    dblclick: () => () => {
      view.reset();
      return null;
    },
  };
}

/** Only where a cursor is goes to the other charts: what is selected comes to them by the view. */
export const cursorSync: uPlot.Cursor.Sync = {
  key: 'time',
  scales: ['x', null],
  setSeries: false,
  filters: {
    pub: (type) => type === 'mousemove' || type === 'mouseleave',
    sub: (type) => type === 'mousemove' || type === 'mouseleave',
  },
};

function act(key: string, view: View, hasY: boolean): boolean {
  switch (key) {
    case '+':
    case '=':
      zoomStep(view, 'in', hasY);
      return true;
    case '-':
    case '_':
      zoomStep(view, 'out', hasY);
      return true;
    case '0':
      view.reset();
      return true;
    case 'ArrowLeft':
      view.pan({ x: -PAN_SHARE });
      return true;
    case 'ArrowRight':
      view.pan({ x: PAN_SHARE });
      return true;
    case 'ArrowUp':
      return hasY && view.pan({ y: -PAN_SHARE });
    case 'ArrowDown':
      return hasY && view.pan({ y: PAN_SHARE });
    case 'PageUp':
      return hasY && view.pan({ y: -1 });
    case 'PageDown':
      return hasY && view.pan({ y: 1 });
    case 'Home':
      view.pan({ x: Number.NEGATIVE_INFINITY, ...(hasY && { y: Number.NEGATIVE_INFINITY }) });
      return true;
    case 'End':
      view.pan({ x: Number.POSITIVE_INFINITY, ...(hasY && { y: Number.POSITIVE_INFINITY }) });
      return true;
    default:
      return false;
  }
}

/** Moves the picture with one finger, the middle button or the shift key; zooms with two fingers. */
function dragWith(chart: uPlot, view: View, hasY: boolean): void {
  const { over } = chart;
  const held = new Map<number, PointerEvent>();

  over.addEventListener('pointerdown', (event) => {
    const moves = event.pointerType === 'touch' || event.button === 1 || event.shiftKey;
    if (!moves || event.button > 1) return;
    held.set(event.pointerId, event);
    over.setPointerCapture(event.pointerId);
    over.classList.add('moving');
  });
  over.addEventListener('pointermove', (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    if (other) pinch(before, event, other);
    else {
      view.pan({
        x: (before.clientX - event.clientX) / over.clientWidth,
        y: hasY ? (before.clientY - event.clientY) / over.clientHeight : 0,
      });
    }
    held.set(event.pointerId, event);
  });
  for (const end of ['pointerup', 'pointercancel'] as const) {
    over.addEventListener(end, ({ pointerId }) => {
      held.delete(pointerId);
      if (held.size === 0) over.classList.remove('moving');
    });
  }

  function pinch(before: PointerEvent, now: PointerEvent, other: PointerEvent): void {
    const apart = (event: PointerEvent) =>
      Math.max(24, Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY));
    const at = pointAt(
      chart,
      { clientX: (now.clientX + other.clientX) / 2, clientY: (now.clientY + other.clientY) / 2 },
      hasY,
    );
    view.zoom(apart(before) / apart(now), at);
    view.pan({
      x: (before.clientX - now.clientX) / 2 / over.clientWidth,
      y: hasY ? (before.clientY - now.clientY) / 2 / over.clientHeight : 0,
    });
  }
}

function pointAt(
  chart: uPlot,
  { clientX, clientY }: Pick<MouseEvent, 'clientX' | 'clientY'>,
  hasY: boolean,
): Point {
  const { left, top } = chart.over.getBoundingClientRect();
  const x = chart.posToVal(clientX - left, 'x');
  return hasY ? { x, y: chart.posToVal(clientY - top, 'y') } : { x };
}

function between(chart: uPlot, scale: 'x' | 'y', from: number, to: number): Range {
  const values = [chart.posToVal(from, scale), chart.posToVal(to, scale)];
  return { min: Math.min(...values), max: Math.max(...values) };
}

function middle({ min, max }: Range): number {
  return (min + max) / 2;
}
