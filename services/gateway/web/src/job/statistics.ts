// The measurements of a mask, stats.json, as a table.

import { count, measured, percent } from "../format/numbers.ts";

interface Measured {
  voxels: number;
  volume_nm3: number;
  surface_nm2: number | null;
  medial_surface_nm2?: number | null;
  thickness_A: number | null;
  thickness_sd_A: number | null;
}

export interface LabelRow extends Measured {
  label: number;
  name: string;
  fraction: number;
  fraction_within: number | null;
  instances: number;
}

export interface ComponentRow extends Measured {
  instance: number;
  label: number;
  name: string;
}

export interface Statistics {
  labels: LabelRow[];
  instances: ComponentRow[];
  instance_count: number;
  parameters: Record<string, unknown>;
  threshold: { high: number; low: number } | null;
  picks: { kind: "particles" | "filaments" | string; points: number; objects: number } | null;
  within: { mask: string; fraction: number; volume_nm3: number } | null;
}

export interface TableRow {
  title: string;
  /** The unit, or what the number is of. */
  unit: string;
  /** One text for each label. */
  values: string[];
}

/** One column for each label; rows that have no value for any label are left out. */
export function labelTable({ labels }: Pick<Statistics, "labels">): TableRow[] {
  const rows: [string, string, (row: LabelRow) => string | null][] = [
    ["Components", "", (row) => count(row.instances)],
    ["Volume", "nm³", (row) => measured(row.volume_nm3)],
    ["Share of the tomogram", "", (row) => percent(row.fraction)],
    ["Share of the region", "", (row) => (row.fraction_within === null ? null : percent(row.fraction_within))],
    ["Surface area", "nm²", (row) => value(row.surface_nm2)],
    ["Medial surface", "nm²", (row) => value(row.medial_surface_nm2)],
    ["Mean thickness", "Å", thickness],
  ];
  return rows
    .map(([title, unit, text]) => ({ title, unit, texts: labels.map(text) }))
    .filter(({ texts }) => texts.some((text) => text !== null))
    .map(({ title, unit, texts }) => ({ title, unit, values: texts.map((text) => text ?? "–") }));
}

function value(found: number | null | undefined): string | null {
  return found === null || found === undefined ? null : measured(found);
}

function thickness({ thickness_A: mean, thickness_sd_A: deviation }: Measured): string | null {
  if (mean === null || mean === undefined) return null;
  return deviation ? `${measured(mean)} ± ${measured(Number(deviation.toPrecision(2)))}` : measured(mean);
}

/** How many picks there are, in words; empty if the engine does not pick. */
export function picksText({ picks }: Pick<Statistics, "picks">): string {
  if (!picks) return "";
  const points = `${count(picks.points)} ${picks.points === 1 ? "point" : "points"}`;
  switch (picks.kind) {
    case "particles":
      return `${count(picks.objects)} ${picks.objects === 1 ? "particle" : "particles"}`;
    case "filaments":
      return `${count(picks.objects)} ${picks.objects === 1 ? "filament" : "filaments"}, ${points}`;
    default:
      return `${points} on ${count(picks.objects)} ${picks.objects === 1 ? "component" : "components"}`;
  }
}

/** The sizes and thicknesses of the components that are listed, for the plots. */
export function componentValues({ instances }: Pick<Statistics, "instances">): {
  volumes_nm3: number[];
  thicknesses_A: number[];
} {
  const positive = (found: number | null): found is number => found !== null && found > 0;
  return {
    volumes_nm3: instances.map((row) => row.volume_nm3).filter(positive),
    thicknesses_A: instances.map((row) => row.thickness_A).filter(positive),
  };
}
