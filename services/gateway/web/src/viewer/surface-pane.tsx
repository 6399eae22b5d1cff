// The 3D view: surfaces of the mask that is shown, and the picks.

import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { frameLabels } from "../api/frames.ts";
import { errorText } from "../api/errors.ts";
import { extent } from "./geometry.ts";
import { followGestures } from "./gestures.ts";
import { PREVIEW } from "./layers.ts";
import type { ViewerModel } from "./model.ts";
import { thresholded } from "./overlay.ts";
import { labelColour } from "./palette.ts";
import { type LabelVolume, allChunks, assemble, surfaceLevel } from "./surface-source.ts";
import type { SurfaceView } from "./surfaces.ts";
import { type ZarrImage, chunkKey } from "./zarr.ts";

const BUNDLE = "/web/surfaces.js";
const SETTLED_MS = 150;

export function SurfacePane({ model }: { model: ViewerModel }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<SurfaceView | null>(null);
  const [message, setMessage] = useState("Loading the 3D view.");
  useEffect(() => {
    const abort = new AbortController();
    const ends: (() => void)[] = [() => abort.abort()];
    void open(canvas.current!, model, abort.signal, setMessage).then((opened) => {
      if (!opened) return;
      view.current = opened.view;
      ends.push(opened.end);
      if (abort.signal.aborted) opened.end();
    });
    return () => ends.forEach((end) => end());
  }, [model]);
  return (
    <div class="pane large">
      <canvas
        ref={canvas}
        data-axis="3d"
        tabIndex={0}
        role="application"
        aria-label="Surfaces of the mask. Arrow keys turn them, plus and minus zoom, 0 shows all."
        onKeyDown={(event) => view.current && handleKey(event, view.current)}
      />
      <p class="pane-title" style={{ "--plane": "#d7dce5" }}><strong>3D</strong></p>
      {message && <p class="pane-message" role="status">{message}</p>}
    </div>
  );
}

interface Opened {
  view: SurfaceView;
  end(): void;
}

async function open(
  canvas: HTMLCanvasElement,
  model: ViewerModel,
  signal: AbortSignal,
  setMessage: (text: string) => void,
): Promise<Opened | null> {
  try {
    const { SurfaceView, unsupported } = (await import(BUNDLE)) as typeof import("./surfaces.ts");
    const reason = unsupported();
    if (reason || signal.aborted) {
      setMessage(reason);
      return null;
    }
    const { grid } = model;
    const size = [extent(grid, 0), extent(grid, 1), extent(grid, 2)] as const;
    const colourOf = (label: number) => {
      const look = model.looks.peek().get(label);
      return look?.hidden ? null : (look?.colour ?? labelColour(label));
    };
    const view = new SurfaceView(canvas, size, colourOf);
    const updates = followModel(view, model, setMessage);
    const gestures = followGestures(canvas, {
      onPan: (dx, dy) => view.rotate(dx, dy),
      onZoom: (factor) => view.zoom(factor),
      onContrast: (dx, dy) => view.pan(dx, dy),
      onStep: (by) => view.zoom(by > 0 ? 0.9 : 1.1),
      onClick() {},
      onHover() {},
    });
    const observer = new ResizeObserver(() => view.draw());
    observer.observe(canvas);
    return {
      view,
      end() {
        updates();
        gestures();
        observer.disconnect();
        view.close();
      },
    };
  } catch (error) {
    setMessage(`The 3D view could not be opened. ${errorText(error)}`);
    return null;
  }
}

/** Keep surfaces and points as the model says; the returned function ends that. */
function followModel(view: SurfaceView, model: ViewerModel, setMessage: (text: string) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let building = new AbortController();
  let shown = "";
  const owner = {};
  const build = async () => {
    const { name, volume } = sourceOf(model, owner);
    if (name === shown || !volume) return;
    shown = name;
    building.abort();
    building = new AbortController();
    const { signal } = building;
    await view.setLabels(volume, model.grid.voxelSize, signal);
    if (signal.aborted) return;
    view.canvas.dataset.triangles = String(view.triangles);
    setMessage(view.triangles > 0 ? "" : "The mask is empty so far.");
  };
  const ends = [
    effect(() => {
      void [model.arrivals.value, model.images.value, model.frame.value, model.layer.value, model.threshold.value];
      clearTimeout(timer);
      timer = setTimeout(() => void build(), SETTLED_MS);
    }),
    effect(() => {
      void model.looks.value;
      view.draw();
    }),
    effect(() => {
      const picks = model.showPicks.value ? model.picks.value : null;
      const { voxelSize } = model.grid;
      const radius = picks?.kind === "particles" ? model.pickRadius.value : 2 * Math.max(...voxelSize);
      const positions = picks?.positions.map((at, n) => (at + 0.5) * voxelSize[n % 3]!);
      view.setPoints(positions ? { positions, radius, colour: [255, 196, 87] } : null);
    }),
  ];
  return () => {
    clearTimeout(timer);
    building.abort();
    for (const end of ends) end();
    model.store.want(owner, []);
  };
}

/** The labels to show, with a name that changes with them; none while parts are missing. */
function sourceOf(model: ViewerModel, owner: object): { name: string; volume: LabelVolume | null } {
  const threshold = model.threshold.peek();
  const scores = model.scores.peek();
  if (threshold !== null && scores) {
    const found = fromImage(model, scores, owner);
    const labels = found && thresholded(found.labels as Float32Array, threshold);
    return { name: `scores ${threshold}`, volume: found && labels ? { ...found, labels } : null };
  }
  const layer = model.layer.peek();
  const image = model.images.peek().get(layer);
  if (image) return { name: layer, volume: fromImage(model, image, owner) };
  const frame = model.frame.peek();
  if (layer !== PREVIEW || !frame) {
    const nothing = { labels: new Uint8Array(1), shape: [1, 1, 1], factors: [1, 1, 1] } as const;
    return { name: "nothing", volume: nothing };
  }
  const volume = { labels: frameLabels(frame), shape: frame.buffer.shape, factors: frame.scale };
  return { name: `${PREVIEW} ${frame.attempt}/${frame.seq}/${frame.final}`, volume };
}

function fromImage(model: ViewerModel, image: ZarrImage, owner: object): LabelVolume | null {
  const level = surfaceLevel(image);
  model.store.want(owner, allChunks(level).map((position) => chunkKey(level, position)));
  const labels = assemble(level, (key) => model.store.get(key));
  return labels && { labels, shape: level.shape, factors: level.factors };
}

function handleKey(event: KeyboardEvent, view: SurfaceView): void {
  const actions: Record<string, () => void> = {
    ArrowLeft: () => view.rotate(-15, 0),
    ArrowRight: () => view.rotate(15, 0),
    ArrowUp: () => view.rotate(0, -15),
    ArrowDown: () => view.rotate(0, 15),
    "+": () => view.zoom(1.15),
    "=": () => view.zoom(1.15),
    "-": () => view.zoom(1 / 1.15),
    "0": () => view.reset(),
  };
  const action = actions[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
}
