// Pointers and wheel over a view: pan, zoom, pinch, contrast, and clicks.

export interface Point {
  x: number;
  y: number;
}

export interface GestureHandlers {
  onPan(dx: number, dy: number): void;
  onZoom(factor: number, at: Point): void;
  /** Shift and drag, or drag with the right button. */
  onContrast(dx: number, dy: number): void;
  /** Shift or Alt and wheel. */
  onStep(by: number): void;
  onClick(at: Point): void;
  /** A line begins that is to be painted; false if it is to be handled as any other movement. */
  onStrokeBegin?(at: Point): boolean;
  onStroke?(at: Point): void;
  /** The line has ended, or turned out to be something else. */
  onStrokeEnd?(finished: boolean): void;
  /** The pointer is over a point, or has left. */
  onHover(at: Point | null): void;
}

const CLICK_PX = 4;

/** Follow pointers over an element; the returned function ends that. */
export function followGestures(element: HTMLElement, handlers: GestureHandlers): () => void {
  const pointers = new Map<number, Point>();
  let moved = 0;
  let contrast = false;
  let painting = false;
  const at = (event: MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  const down = (event: PointerEvent) => {
    // The middle button would scroll the page.
    if (event.button === 1) event.preventDefault();
    element.setPointerCapture(event.pointerId);
    if (pointers.size === 0) {
      moved = 0;
      contrast = event.shiftKey || event.button === 2;
      const plain = event.button === 0 && !event.shiftKey && !event.altKey;
      painting = plain && (handlers.onStrokeBegin?.(at(event)) ?? false);
    } else {
      // A second finger: two zoom, so the first was not to paint.
      endStroke(false);
    }
    pointers.set(event.pointerId, at(event));
  };
  const endStroke = (finished: boolean) => {
    if (painting) handlers.onStrokeEnd?.(finished);
    painting = false;
  };
  const move = (event: PointerEvent) => {
    const now = at(event);
    const before = pointers.get(event.pointerId);
    if (event.pointerType !== "touch" || before) handlers.onHover(now);
    if (!before) return;
    if (painting) {
      pointers.set(event.pointerId, now);
      handlers.onStroke?.(now);
      return;
    }
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    moved += Math.hypot(dx, dy);
    if (other) {
      const spread = (point: Point) => Math.hypot(point.x - other.x, point.y - other.y);
      handlers.onPan(dx / 2, dy / 2);
      handlers.onZoom(spread(now) / Math.max(spread(before), 1), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (moved > CLICK_PX) {
      if (contrast) handlers.onContrast(dx, dy);
      else handlers.onPan(dx, dy);
    }
  };
  const up = (event: PointerEvent) => {
    const only = pointers.size === 1;
    if (painting) {
      pointers.delete(event.pointerId);
      endStroke(event.type === "pointerup");
    } else if (pointers.delete(event.pointerId) && only && moved <= CLICK_PX && event.button !== 1 && event.type === "pointerup" && !contrast) {
      handlers.onClick(at(event));
    }
  };
  const leave = () => handlers.onHover(null);
  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    // With Shift, some systems turn the wheel into a horizontal one.
    const turn = event.deltaY || event.deltaX;
    if (event.shiftKey || event.altKey) handlers.onStep(Math.sign(turn));
    else handlers.onZoom(Math.exp(-turn * (event.deltaMode === 1 ? 0.05 : 0.002)), at(event));
  };
  const prevent = (event: Event) => event.preventDefault();

  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("contextmenu", prevent);
  return () => {
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
    element.removeEventListener("pointerleave", leave);
    element.removeEventListener("wheel", wheel);
    element.removeEventListener("contextmenu", prevent);
  };
}
