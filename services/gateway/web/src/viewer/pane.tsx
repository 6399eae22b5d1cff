// One section: canvas, title and slider, with pointer and keys.

import { useEffect, useRef } from "preact/hooks";
import { RADIUS_MAX } from "../paint/painter.ts";
import { AXIS_NAMES, type Axis, PLANE_NAMES, clamp, panned, planeAxes, toVoxel, zoomed } from "./geometry.ts";
import { type Point, followGestures } from "./gestures.ts";
import type { ViewerModel } from "./model.ts";
import { PLANE_COLOURS, PaneRenderer } from "./pane-renderer.ts";
import { draggedLimits } from "./tone.ts";
import type { Triple } from "../api/types.ts";

const SAMPLED = "The server is preparing lower-resolution levels of this large volume; until then, some voxels are left out.";

export function Pane({ model, axis, large }: { model: ViewerModel; axis: Axis; large: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const renderer = useRef<PaneRenderer | null>(null);
  useEffect(() => {
    const made = new PaneRenderer(canvas.current!, model, axis);
    renderer.current = made;
    const end = followGestures(canvas.current!, gesturesOf(model, axis, made));
    return () => {
      end();
      made.close();
    };
  }, [model, axis]);
  const index = model.position.value[axis];
  const sections = model.grid.shape[axis];
  const name = PLANE_NAMES[axis];
  return (
    <div class={large ? "pane large" : "pane"}>
      <canvas
        ref={canvas}
        data-axis={AXIS_NAMES[axis]}
        tabIndex={0}
        role="application"
        aria-label={`${name} section ${index + 1} of ${sections}. Arrow keys move the crosshair, Page Up and Page Down the section, plus and minus zoom.`}
        onKeyDown={(event) => handleKey(event, model, axis, renderer.current!)}
      />
      <p class="pane-title" style={{ "--plane": PLANE_COLOURS[axis] }}>
        {large ? <strong>{name}</strong> : (
          <button type="button" onClick={() => (model.large.value = axis)} aria-label={`Make ${name} the large view`}>{name}</button>
        )}
        <span>{`${AXIS_NAMES[axis]} ${index + 1} / ${sections}`}</span>
        {model.sampled[axis]!.value && <span title={SAMPLED}>reduced resolution</span>}
      </p>
      <input
        class="pane-slider"
        type="range"
        min={0}
        max={sections - 1}
        value={index}
        aria-label={`Section along ${AXIS_NAMES[axis]}`}
        onInput={(event) => model.moveAlong(axis, Number(event.currentTarget.value) - model.position.peek()[axis])}
      />
    </div>
  );
}

function gesturesOf(model: ViewerModel, axis: Axis, renderer: PaneRenderer) {
  const camera = model.cameras[axis]!;
  const { grid } = model;
  const voxelAt = (point: Point): Triple => {
    const { down, right } = planeAxes(axis);
    const at = [...model.position.peek()] as [number, number, number];
    [at[down], at[right]] = toVoxel(renderer.camera, point, renderer.viewSize, grid, axis);
    return at;
  };
  return {
    onPan(dx: number, dy: number) {
      camera.value = panned(renderer.camera, dx, dy, grid, axis);
    },
    onZoom(factor: number, at: Point) {
      camera.value = zoomed(renderer.camera, factor, at, renderer.viewSize, grid);
    },
    onContrast(dx: number, dy: number) {
      model.chosenLimits.value = draggedLimits(model.limits.peek(), dx, dy);
    },
    onStep: (by: number) => model.moveAlong(axis, by),
    onClick: (at: Point) => model.moveTo(voxelAt(at)),
    ...(axis === PAINTED_AXIS && strokeHandlers(model, voxelAt)),
    onHover(at: Point | null) {
      if (!at) {
        model.pointer.value = null;
        return;
      }
      const voxel = voxelAt(at).map(Math.floor) as unknown as Triple;
      const inside = voxel.every((n, along) => n >= 0 && n < grid.shape[along]!);
      model.pointer.value = inside ? { voxel, axis } : null;
    },
  };
}

/** Strokes are painted in XY sections: the brush of a stroke is a disc along y and x. */
const PAINTED_AXIS = 0;

function strokeHandlers(model: ViewerModel, voxelAt: (point: Point) => Triple) {
  const { painter, grid } = model;
  const whole = (point: Point) =>
    voxelAt(point).map((at, along) => clamp(Math.floor(at), 0, grid.shape[along]! - 1)) as unknown as Triple;
  return {
    onStrokeBegin: (at: Point) => painter.begin(whole(at)),
    onStroke: (at: Point) => painter.extend(whole(at)),
    onStrokeEnd: (finished: boolean) => (finished ? painter.end() : painter.cancel()),
  };
}

function handleKey(event: KeyboardEvent, model: ViewerModel, axis: Axis, renderer: PaneRenderer): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { down, right } = planeAxes(axis);
  const step = event.shiftKey ? 10 : 1;
  const camera = model.cameras[axis]!;
  const { width, height } = renderer.viewSize;
  const zoom = (factor: number) => {
    camera.value = zoomed(renderer.camera, factor, { x: width / 2, y: height / 2 }, renderer.viewSize, model.grid);
  };
  const actions: Record<string, () => void> = {
    ArrowLeft: () => model.moveAlong(right, -step),
    ArrowRight: () => model.moveAlong(right, step),
    ArrowUp: () => model.moveAlong(down, -step),
    ArrowDown: () => model.moveAlong(down, step),
    PageUp: () => model.moveAlong(axis, step),
    PageDown: () => model.moveAlong(axis, -step),
    Home: () => model.moveAlong(axis, -model.grid.shape[axis]),
    End: () => model.moveAlong(axis, model.grid.shape[axis]),
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    "0": () => (camera.value = null),
    "1": () => (camera.value = { ...renderer.camera, scale: model.actualPixels(devicePixelRatio) }),
    i: () => (model.invert.value = !model.invert.peek()),
    c: () => (model.showCrosshair.value = !model.showCrosshair.peek()),
    m: () => model.toggleMask(),
  };
  if (axis === PAINTED_AXIS && model.painter.on.peek()) Object.assign(actions, paintActions(model));
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function paintActions({ painter, position }: ViewerModel): Record<string, () => void> {
  const resize = (by: number) => (painter.radius.value = clamp(painter.radius.peek() + by, 0, RADIUS_MAX));
  return {
    p() {
      painter.begin(position.peek());
      painter.end();
    },
    x: () => (painter.tool.value = painter.tool.peek() === "brush" ? "eraser" : "brush"),
    "[": () => resize(-1),
    "]": () => resize(1),
  };
}
