// Picks: points of particles, membranes and filaments, from a job's picks.csv. Pure.

import type { Triple } from "../api/types.ts";
import { type Axis, planeAxes } from "./geometry.ts";

export type PickKind = "particles" | "filaments" | "membranes";

export interface Picks {
  kind: PickKind;
  count: number;
  /** z, y, x of each, in voxels; 0 is the centre of the first one. */
  positions: Float32Array;
  scores: Float32Array;
  labels: Uint16Array;
}

/**
 * Read a table.
 *
 * @throws {Error} It has no columns z, y, x.
 */
export function parsePicks(text: string): Picks {
  const lines = text.trim().split("\n");
  const names = lines[0]!.trim().split(",");
  const columns = ["z", "y", "x", "score", "label"].map((name) => names.indexOf(name));
  if (columns.slice(0, 3).some((column) => column < 0)) throw new Error("The table of picks has no columns z, y, x.");
  const rows = lines.slice(1).filter((line) => line.trim() !== "");
  const found: Picks = {
    kind: names.includes("track_A") ? "filaments" : names.includes("normal_z") ? "membranes" : "particles",
    count: rows.length,
    positions: new Float32Array(3 * rows.length),
    scores: new Float32Array(rows.length).fill(Number.NaN),
    labels: new Uint16Array(rows.length).fill(1),
  };
  rows.forEach((row, n) => {
    const cells = row.split(",");
    const cell = (column: number) => (column < 0 || cells[column] === "" ? Number.NaN : Number(cells[column]));
    for (let axis = 0; axis < 3; axis++) found.positions[3 * n + axis] = cell(columns[axis]!);
    found.scores[n] = cell(columns[3]!);
    if (columns[4]! >= 0) found.labels[n] = cell(columns[4]!);
  });
  return found;
}

export interface Circle {
  down: number;
  right: number;
  /** Half the width of the sphere where the section cuts it, in ångström. */
  radius: number;
  label: number;
}

/**
 * Return the circles in which a section cuts spheres around the picks; positions in voxels, 0 is the edge of the first.
 *
 * @param radius of the spheres, in ångström
 */
export function circlesIn(picks: Picks, axis: Axis, section: number, radius: number, voxelSize: Triple): Circle[] {
  const { down, right } = planeAxes(axis);
  const found: Circle[] = [];
  for (let n = 0; n < picks.count; n++) {
    const away = (picks.positions[3 * n + axis]! - section) * voxelSize[axis];
    if (Math.abs(away) > radius) continue;
    found.push({
      down: picks.positions[3 * n + down]! + 0.5,
      right: picks.positions[3 * n + right]! + 0.5,
      radius: Math.sqrt(radius * radius - away * away),
      label: picks.labels[n]!,
    });
  }
  return found;
}

/** The numbers of the picks of each filament, in the order of the table. */
export function tracksOf(picks: Picks): number[][] {
  const tracks = new Map<number, number[]>();
  for (let n = 0; n < picks.count; n++) {
    const track = tracks.get(picks.labels[n]!);
    if (track) track.push(n);
    else tracks.set(picks.labels[n]!, [n]);
  }
  return [...tracks.values()];
}

export interface LineInSection {
  from: [number, number];
  to: [number, number];
  label: number;
}

/**
 * Return the parts of filaments within a distance of a section; positions in voxels, 0 is the edge of the first.
 *
 * @param reach in ångström
 */
export function linesIn(picks: Picks, axis: Axis, section: number, reach: number, voxelSize: Triple): LineInSection[] {
  const { down, right } = planeAxes(axis);
  const away = (n: number) => Math.abs(picks.positions[3 * n + axis]! - section) * voxelSize[axis];
  const at = (n: number): [number, number] => [picks.positions[3 * n + down]! + 0.5, picks.positions[3 * n + right]! + 0.5];
  return tracksOf(picks).flatMap((track) =>
    track.slice(1).flatMap((n, before) => {
      const previous = track[before]!;
      if (Math.min(away(previous), away(n)) > reach) return [];
      return [{ from: at(previous), to: at(n), label: picks.labels[n]! }];
    }),
  );
}

/** How many there are, for people. */
export function countText(picks: Picks): string {
  const count = (n: number, one: string, many: string) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
  if (picks.kind === "filaments") {
    return `${count(tracksOf(picks).length, "filament", "filaments")}, ${count(picks.count, "point", "points")}`;
  }
  return picks.kind === "particles" ? count(picks.count, "particle", "particles") : count(picks.count, "point", "points");
}
