// A section through the newest preview of a job's mask.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Frame } from "../api/frames.ts";
import { live } from "../app/store.ts";
import { labelColour } from "./palette.ts";

const AXES = ["z", "y", "x"] as const;

export function Viewer({ jobId }: { jobId: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [frame, setFrame] = useState<Frame | null>(null);
  const [axis, setAxis] = useState(0);
  const [chosen, setChosen] = useState<number | null>(null);
  useEffect(() => live.followFrames(jobId, setFrame), [jobId]);
  const slices = frame?.volume_shape[axis] ?? 1;
  const slice = Math.min(chosen ?? Math.floor(slices / 2), slices - 1);
  useEffect(() => {
    if (frame) draw(canvas.current!, frame, axis, slice);
  }, [frame, axis, slice]);
  return (
    <figure>
      <canvas id="slice-image" ref={canvas} width={1} height={1} aria-label="A slice of the mask" />
      <figcaption>
        <label>
          Axis{" "}
          <select
            id="axis"
            onChange={(event) => {
              setAxis(AXES.indexOf(event.currentTarget.value as "z"));
              setChosen(null);
            }}
          >
            {AXES.map((name) => <option key={name}>{name}</option>)}
          </select>
        </label>
        <label>
          Slice{" "}
          <input
            id="slice"
            type="range"
            min={0}
            max={slices - 1}
            value={slice}
            onInput={(event) => setChosen(Number(event.currentTarget.value))}
          />
        </label>
        <span id="slice-caption">{frame ? `Slice ${slice + 1} of ${slices} · ${kindOf(frame)}` : "No preview yet."}</span>
      </figcaption>
    </figure>
  );
}

function kindOf({ final, coarse }: Frame): string {
  if (final) return "finished mask";
  return coarse ? "quick preview" : "preview";
}

function draw(canvas: HTMLCanvasElement, frame: Frame, axis: number, slice: number): void {
  const { shape } = frame.buffer;
  const strides = [shape[1] * shape[2], shape[2], 1] as const;
  const [down, right] = [0, 1, 2].filter((other) => other !== axis) as [0 | 1, 1 | 2];
  const image = new ImageData(shape[right], shape[down]);
  const start = Math.floor(slice / frame.scale[axis]!) * strides[axis]!;
  for (let row = 0, pixel = 0; row < shape[down]; row++) {
    for (let column = 0; column < shape[right]; column++, pixel += 4) {
      const label = frame.mask[start + row * strides[down] + column * strides[right]]!;
      if (label) image.data.set([...labelColour(label), 255], pixel);
    }
  }
  canvas.width = image.width;
  canvas.height = image.height;
  const length = (along: 0 | 1 | 2) => frame.volume_shape[along] * frame.voxel_size_A[along];
  canvas.style.aspectRatio = String(length(right) / length(down));
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}
