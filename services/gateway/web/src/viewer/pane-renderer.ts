// Draws one section: density, uncertainty, mask, picks, crosshair and scale bar.

import { effect } from "@preact/signals";
import { DensityLayer, type Placed, type ViewState } from "./density-layer.ts";
import {
  type Axis,
  type Camera,
  type Size,
  fitted,
  lengthText,
  planeAxes,
  scaleBar,
  toPoint,
} from "./geometry.ts";
import { MaskLayer } from "./mask-layer.ts";
import { StrokesLayer } from "../paint/strokes-layer.ts";
import type { ViewerModel } from "./model.ts";
import { circlesIn, linesIn } from "./picks.ts";
import { UncertaintyLayer } from "./uncertainty-layer.ts";

/** Colours of the sections perpendicular to z, y, x; the crosshair shows where the others are. */
export const PLANE_COLOURS = ["#6cb6ff", "#7ddc9a", "#ff9d8a"] as const;
const BACKGROUND = "#0b0d10";

export class PaneRenderer {
  private readonly densityLayer: DensityLayer;
  private readonly uncertaintyLayer: UncertaintyLayer;
  private readonly maskLayer: MaskLayer;
  private readonly strokesLayer: StrokesLayer;
  private readonly context: CanvasRenderingContext2D;
  private readonly observer: ResizeObserver;
  private readonly stopFollowing: () => void;
  private request = 0;
  private size: Size = { width: 0, height: 0 };

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly model: ViewerModel,
    private readonly axis: Axis,
  ) {
    this.densityLayer = new DensityLayer(model);
    this.uncertaintyLayer = new UncertaintyLayer(model);
    this.maskLayer = new MaskLayer(model);
    this.strokesLayer = new StrokesLayer(model);
    this.context = canvas.getContext("2d", { alpha: false })!;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
    this.stopFollowing = effect(() => {
      this.readDependencies();
      this.schedule();
    });
  }

  close(): void {
    this.stopFollowing();
    this.observer.disconnect();
    cancelAnimationFrame(this.request);
    this.model.store.want(this, []);
    this.densityLayer.close();
  }

  /** The camera that is in effect. */
  get camera(): Camera {
    return this.model.cameras[this.axis]!.peek() ?? fitted(this.model.grid, this.axis, this.size);
  }

  get viewSize(): Size {
    return this.size;
  }

  private readDependencies(): void {
    const { model, axis } = this;
    const read = [
      model.arrivals, model.images, model.frame, model.position, model.cameras[axis]!, model.limits, model.invert,
      model.slab, model.sigma, model.smoothPixels, model.layer, model.opacity, model.style, model.looks,
      model.showUncertainty, model.uncertaintyOpacity, model.threshold, model.picks, model.showPicks, model.pickRadius, model.showCrosshair, model.large,
    ];
    for (const { value } of read) void value;
    const { painter, pointer } = model;
    if (!painter.on.value && painter.strokes.value.lines.length === 0) return;
    for (const { value } of [painter.draft, painter.radius, painter.label, painter.tool, pointer]) void value;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.size = { width, height };
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    // At once, because a canvas that was resized is empty.
    this.draw();
  }

  private schedule(): void {
    cancelAnimationFrame(this.request);
    this.request = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const { context, canvas, model, size } = this;
    if (size.width === 0 || size.height === 0) return;
    const view: ViewState = { axis: this.axis, camera: this.camera, size, density: devicePixelRatio };
    const keys: string[] = [];
    const density = this.densityLayer.draw(view, keys);
    const uncertainty = this.uncertaintyLayer.draw(view, keys);
    const mask = this.maskLayer.draw(view, keys);
    model.store.want(this, [...new Set(keys)]);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = BACKGROUND;
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const placed of density) this.place(placed, view, model.smoothPixels.value);
    if (uncertainty) this.place(uncertainty, view, model.smoothPixels.value);
    if (mask) this.place(mask, view, false);
    const strokes = this.strokesLayer.draw(this.axis);
    if (strokes) this.place(strokes, view, false);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    if (!model.tomogram.value) this.drawBorder(view);
    if (model.showPicks.value) this.drawPicks(view);
    if (model.showCrosshair.value) this.drawCrosshair(view);
    if (this.axis === 0) this.drawBrush(view);
    this.drawScaleBar(view);
    this.noteValues();
    model.sampled[this.axis]!.value = this.densityLayer.sampled;
  }

  private noteValues(): void {
    const { model, axis } = this;
    const main = model.large.value === "3d" ? 0 : model.large.value;
    const { values } = this.densityLayer;
    if (axis === main && values) model.sectionValues.value = values;
  }

  private place({ canvas, request }: Placed, view: ViewState, smooth: boolean): void {
    const { window, level } = request;
    const { down, right } = planeAxes(view.axis);
    const corner = (n: 0 | 1) =>
      toPoint(view.camera, [window.down[n] * level.factors[down], window.right[n] * level.factors[right]], view.size, this.model.grid, view.axis);
    // Whole pixels, so that a voxel that is as large as a pixel is shown as it is.
    const pixels = (at: number) => Math.round(at * view.density);
    const [first, last] = [corner(0), corner(1)];
    const [left, top] = [pixels(first.x), pixels(first.y)];
    const [width, height] = [pixels(last.x) - left, pixels(last.y) - top];
    if (canvas.width === 0 || width <= 0 || height <= 0) return;
    const enlarged = width > canvas.width;
    this.context.imageSmoothingEnabled = smooth || !enlarged;
    this.context.imageSmoothingQuality = enlarged ? "medium" : "high";
    this.context.drawImage(canvas, left, top, width, height);
  }

  private drawBorder(view: ViewState): void {
    const { grid } = this.model;
    const { down, right } = planeAxes(view.axis);
    const corner = (at: [number, number]) => toPoint(view.camera, at, view.size, grid, view.axis);
    const start = corner([0, 0]);
    const end = corner([grid.shape[down], grid.shape[right]]);
    // Around the outermost pixels, not over them.
    const [left, top] = [Math.round(start.x) - 0.5, Math.round(start.y) - 0.5];
    this.context.strokeStyle = "rgb(255 255 255 / 18%)";
    this.context.lineWidth = 1;
    this.context.strokeRect(left, top, Math.round(end.x) + 0.5 - left, Math.round(end.y) + 0.5 - top);
  }

  private drawCrosshair({ axis, camera, size }: ViewState): void {
    const { model, context } = this;
    const { down, right } = planeAxes(axis);
    const at = model.position.value;
    const { x, y } = toPoint(camera, [at[down] + 0.5, at[right] + 0.5], size, model.grid, axis);
    const gap = 10;
    context.lineWidth = 1;
    context.globalAlpha = 0.75;
    context.strokeStyle = PLANE_COLOURS[down];
    this.line(0, y, x - gap, y);
    this.line(x + gap, y, size.width, y);
    context.strokeStyle = PLANE_COLOURS[right];
    this.line(x, 0, x, y - gap);
    this.line(x, y + gap, x, size.height);
    context.globalAlpha = 1;
  }

  private drawPicks({ axis, camera, size }: ViewState): void {
    const { model, context } = this;
    const picks = model.picks.value;
    if (!picks) return;
    const { voxelSize } = model.grid;
    const section = model.position.value[axis];
    const radius = model.pickRadius.value;
    const point = (at: [number, number]) => toPoint(camera, at, size, model.grid, axis);
    const colour = (label: number) => `rgb(${model.look(label).colour.join(" ")})`;
    if (picks.kind === "filaments") {
      context.lineWidth = 2.5;
      for (const { from, to, label } of linesIn(picks, axis, section, radius, voxelSize)) {
        context.strokeStyle = colour(label);
        const [start, end] = [point(from), point(to)];
        this.line(start.x, start.y, end.x, end.y);
      }
    }
    context.lineWidth = 1.5;
    const dots = picks.kind === "particles" ? 1 : 0.2;
    for (const circle of circlesIn(picks, axis, section, radius * dots, voxelSize)) {
      const { x, y } = point([circle.down, circle.right]);
      context.beginPath();
      context.arc(x, y, Math.max(circle.radius * camera.scale, 2), 0, 2 * Math.PI);
      context.strokeStyle = colour(circle.label);
      context.stroke();
    }
  }

  /** The brush around the pointer, as large as it paints. */
  private drawBrush({ axis, camera, size }: ViewState): void {
    const { context, model } = this;
    const { painter } = model;
    const at = model.pointer.value;
    if (!painter.on.value || painter.tool.value === "eraser" || at?.axis !== axis) return;
    const [, y, x] = at.voxel;
    const centre = toPoint(camera, [y + 0.5, x + 0.5], size, model.grid, axis);
    const [, sideY, sideX] = model.grid.voxelSize;
    const reach = (painter.radius.value + 0.5) * camera.scale;
    for (const [colour, width] of [["rgb(0 0 0 / 70%)", 3], [painter.strokes.value.labels[painter.label.value]!.colour, 1.5]] as const) {
      context.beginPath();
      context.ellipse(centre.x, centre.y, reach * sideX, reach * sideY, 0, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }

  private drawScaleBar({ camera, size }: ViewState): void {
    const { context } = this;
    const { nm, pixels } = scaleBar(10 * camera.scale, Math.min(size.width / 3, 160));
    const [left, bottom] = [14, size.height - 14];
    const text = lengthText(nm);
    context.font = "500 12px system-ui, sans-serif";
    const width = Math.max(pixels, context.measureText(text).width);
    context.fillStyle = "rgb(11 13 16 / 60%)";
    context.beginPath();
    context.roundRect(left - 7, bottom - 22, width + 14, 29, 6);
    context.fill();
    context.fillStyle = "#f2f4f8";
    context.fillRect(left, bottom - 2, pixels, 2);
    context.fillText(text, left, bottom - 7);
  }

  private line(x0: number, y0: number, x1: number, y1: number): void {
    this.context.beginPath();
    this.context.moveTo(x0, y0);
    this.context.lineTo(x1, y1);
    this.context.stroke();
  }
}
