// What is under the pointer, or else at the crosshair.

import type { Triple } from "../api/types.ts";
import { labelAt } from "../api/frames.ts";
import { printable } from "../app/text.ts";
import { count } from "../format/numbers.ts";
import { PREVIEW } from "./layers.ts";
import type { ViewerModel } from "./model.ts";
import { valueAt } from "./section.ts";
import type { ZarrImage } from "./zarr.ts";

export function Readout({ model }: { model: ViewerModel }) {
  void model.arrivals.value;
  const voxel = model.pointer.value?.voxel ?? model.position.value;
  const [z, y, x] = voxel;
  const position = voxel.map((n, axis) => count(n * model.grid.voxelSize[axis]!));
  const density = finestValue(model, model.tomogram.value, voxel);
  const score = finestValue(model, model.scores.value, voxel);
  const uncertainty = finestValue(model, model.uncertainty.value, voxel);
  return (
    <dl class="readout">
      <Entry name="Voxel" value={`x ${x + 1}  y ${y + 1}  z ${z + 1}`} />
      <Entry name="Position" value={`${position[2]}, ${position[1]}, ${position[0]} Å`} />
      {density !== undefined && <Entry name="Density" value={String(Number(density.toPrecision(4)))} />}
      <Entry name="Mask" value={labelText(model, voxel)} />
      {score !== undefined && <Entry name="Score" value={String(Math.round(score))} />}
      {uncertainty !== undefined && <Entry name="Uncertainty" value={`${Math.round(uncertainty)} %`} />}
    </dl>
  );
}

function Entry({ name, value }: { name: string; value: string }) {
  return <div><dt>{name}</dt><dd>{value}</dd></div>;
}

/** The value at the finest level that is in memory. */
function finestValue(model: ViewerModel, image: ZarrImage | null, voxel: Triple): number | undefined {
  for (const level of image?.levels ?? []) {
    const found = valueAt(level, voxel, (key) => model.store.get(key));
    if (found !== undefined) return found;
  }
  return undefined;
}

function labelText(model: ViewerModel, voxel: Triple): string {
  const label = labelUnder(model, voxel);
  return label ? printable(model.names.value.get(label) ?? `label ${label}`) : "–";
}

function labelUnder(model: ViewerModel, voxel: Triple): number | undefined {
  const image = model.images.value.get(model.layer.value);
  if (image) return finestValue(model, image, voxel);
  const frame = model.frame.value;
  if (!frame || model.layer.value !== PREVIEW) return undefined;
  const [z, y, x] = voxel.map((n, axis) => Math.floor(n / frame.scale[axis]!)) as unknown as Triple;
  const { shape, bits } = frame.buffer;
  return labelAt(frame.packed, (z * shape[1] + y) * shape[2] + x, bits);
}
