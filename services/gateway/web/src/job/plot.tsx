import { measured } from "../format/numbers.ts";
import { type Bar, histogram } from "./histogram.ts";

const WIDTH = 360;
const HEIGHT = 170;
const LEFT = 54;
const RIGHT = 22;
const TOP = 8;
const BOTTOM = 38;
const GAP = 0.5;

interface Props {
  id: string;
  title: string;
  values: readonly number[];
  axis: string;
  summary: string;
}

/** A histogram with its axes; its colours are those of the theme. */
export function Plot({ id, title, values, axis, summary }: Props) {
  const found = histogram(values);
  if (!found) return null;
  const x = (at: number) => LEFT + at * (WIDTH - LEFT - RIGHT);
  const y = (at: number) => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);
  const label = (bar: Bar) => `${measured(bar.bin.start)} to ${measured(bar.bin.end)}: ${bar.bin.count}`;
  return (
    <figure class="plot" id={id}>
      <figcaption>
        {title}
        {summary && <span class="secondary"> {summary}</span>}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}. ${summary}.`}>
        {found.yTicks.map(({ at, text }) => (
          <g key={text}>
            <line class="grid" x1={x(0)} x2={x(1)} y1={y(at)} y2={y(at)} />
            <text x={x(0) - 6} y={y(at)} text-anchor="end" dominant-baseline="middle">
              {text}
            </text>
          </g>
        ))}
        {found.bars.map((bar) => (
          <rect
            key={bar.left}
            class="bar"
            x={x(bar.left) + GAP}
            width={Math.max(1, x(bar.left + bar.width) - x(bar.left) - 2 * GAP)}
            y={y(bar.height)}
            height={y(0) - y(bar.height)}
          >
            <title>{label(bar)}</title>
          </rect>
        ))}
        <line class="axis" x1={x(0)} x2={x(1)} y1={y(0)} y2={y(0)} />
        {found.xTicks.map(({ at, text }) => (
          <g key={text}>
            <line class="axis" x1={x(at)} x2={x(at)} y1={y(0)} y2={y(0) + 4} />
            <text x={x(at)} y={y(0) + 16} text-anchor="middle">
              {text}
            </text>
          </g>
        ))}
        <text class="axis-title" x={(x(0) + x(1)) / 2} y={HEIGHT - 4} text-anchor="middle">
          {axis}
        </text>
        <text class="axis-title" transform={`translate(9 ${(y(0) + y(1)) / 2}) rotate(-90)`} text-anchor="middle">
          Components
        </text>
      </svg>
    </figure>
  );
}
