// Axes, planes and cameras: how voxels of the volume come to pixels of a view. Pure.

import type { Triple } from "../api/types.ts";

export type Axis = 0 | 1 | 2;
export const AXES: readonly Axis[] = [0, 1, 2];
export const AXIS_NAMES = ["z", "y", "x"] as const;
/** Names of the sections perpendicular to each axis. */
export const PLANE_NAMES = ["XY", "XZ", "YZ"] as const;

/** The full resolution of a volume: voxels, and their size in ångström, along z, y, x. */
export interface Grid {
  shape: Triple;
  voxelSize: Triple;
}

/** The axes that run down and to the right in sections perpendicular to an axis. */
export function planeAxes(axis: Axis): { down: Axis; right: Axis } {
  return { down: axis === 0 ? 1 : 0, right: axis === 2 ? 1 : 2 };
}

/** What a view shows: the point in its middle, in ångström, and its magnification. */
export interface Camera {
  down: number;
  right: number;
  /** CSS pixels per ångström. */
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Length of the volume along an axis in ångström. */
export function extent(grid: Grid, axis: Axis): number {
  return grid.shape[axis] * grid.voxelSize[axis];
}

/** The camera that shows a whole section with a margin. */
export function fitted(grid: Grid, axis: Axis, { width, height }: Size): Camera {
  const { down, right } = planeAxes(axis);
  const scale = 0.96 * Math.min(width / extent(grid, right), height / extent(grid, down));
  return { down: extent(grid, down) / 2, right: extent(grid, right) / 2, scale };
}

/** Change the magnification by a factor while a point of the view stays where it is. */
export function zoomed(camera: Camera, factor: number, point: { x: number; y: number }, size: Size, grid: Grid): Camera {
  const scale = clamp(camera.scale * factor, 0.02 / Math.min(...grid.voxelSize), 64 / Math.min(...grid.voxelSize));
  const shift = 1 / camera.scale - 1 / scale;
  return {
    right: camera.right + (point.x - size.width / 2) * shift,
    down: camera.down + (point.y - size.height / 2) * shift,
    scale,
  };
}

/** Move the section by pixels, so far that its middle stays inside. */
export function panned(camera: Camera, dx: number, dy: number, grid: Grid, axis: Axis): Camera {
  const { down, right } = planeAxes(axis);
  return {
    right: clamp(camera.right - dx / camera.scale, 0, extent(grid, right)),
    down: clamp(camera.down - dy / camera.scale, 0, extent(grid, down)),
    scale: camera.scale,
  };
}

/** Coordinates along an axis in voxels (0 is the edge of the first voxel) of a point of the view, down and right. */
export function toVoxel(camera: Camera, point: { x: number; y: number }, size: Size, grid: Grid, axis: Axis): [number, number] {
  const { down, right } = planeAxes(axis);
  return [
    (camera.down + (point.y - size.height / 2) / camera.scale) / grid.voxelSize[down],
    (camera.right + (point.x - size.width / 2) / camera.scale) / grid.voxelSize[right],
  ];
}

/** Undo `toVoxel`. */
export function toPoint(camera: Camera, at: readonly [number, number], size: Size, grid: Grid, axis: Axis): { x: number; y: number } {
  const { down, right } = planeAxes(axis);
  return {
    x: (at[1] * grid.voxelSize[right] - camera.right) * camera.scale + size.width / 2,
    y: (at[0] * grid.voxelSize[down] - camera.down) * camera.scale + size.height / 2,
  };
}

export interface Window {
  /** First and last-plus-one voxel, down and right. */
  down: [number, number];
  right: [number, number];
}

/** The voxels of full resolution that are in view. */
export function visibleWindow(camera: Camera, size: Size, grid: Grid, axis: Axis): Window {
  const { down, right } = planeAxes(axis);
  const first = toVoxel(camera, { x: 0, y: 0 }, size, grid, axis);
  const last = toVoxel(camera, { x: size.width, y: size.height }, size, grid, axis);
  const range = (n: 0 | 1, side: number): [number, number] => [
    clamp(Math.floor(first[n]), 0, side),
    clamp(Math.ceil(last[n]), 0, side),
  ];
  return { down: range(0, grid.shape[down]), right: range(1, grid.shape[right]) };
}

/**
 * Choose the level whose voxels come closest to the pixels of the screen.
 *
 * @param factors how many voxels of the full resolution a voxel of each level covers
 * @param camera whose view is drawn
 * @param density device pixels per CSS pixel
 */
export function chooseLevel(factors: readonly Triple[], camera: Camera, grid: Grid, axis: Axis, density: number): number {
  const { down, right } = planeAxes(axis);
  const voxel = Math.min(grid.voxelSize[down], grid.voxelSize[right]);
  const perPixel = 1 / (camera.scale * voxel * density);
  let chosen = 0;
  factors.forEach((factor, level) => {
    if (Math.max(factor[down], factor[right]) <= perPixel * Math.SQRT2) chosen = level;
  });
  return chosen;
}

/** First and last section of a slab around a section, as the server's images have them. */
export function slabRange(index: number, thickness: number, side: number): [number, number] {
  const start = index - Math.floor((thickness - 1) / 2);
  return [Math.max(0, start), Math.min(side, start + thickness) - 1];
}

/** A round length of at most `most` pixels for a scale bar: 1, 2 or 5 times a power of ten nanometres. */
export function scaleBar(pixelsPerNm: number, most: number): { nm: number; pixels: number } {
  const longest = most / pixelsPerNm;
  const power = 10 ** Math.floor(Math.log10(longest));
  const nm = power * ([5, 2].find((times) => times * power <= longest) ?? 1);
  return { nm, pixels: nm * pixelsPerNm };
}

/** A length in nanometres as people write it. */
export function lengthText(nm: number): string {
  return nm >= 1000 ? `${Number((nm / 1000).toPrecision(3))} µm` : `${Number(nm.toPrecision(3))} nm`;
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
