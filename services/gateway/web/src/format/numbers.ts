// Numbers, sizes and times as people read them.

const NARROW_SPACE = "\u202f";
const PREFIXES = ["", "k", "M", "G", "T", "P"];

/** A size in bytes with three digits and a decimal prefix, as disks and downloads are sold: 13.5 MB. */
export function bytes(count: number): string {
  let value = count;
  let prefix = 0;
  while (value >= 999.5 && prefix < PREFIXES.length - 1) {
    value /= 1000;
    prefix += 1;
  }
  const text = prefix === 0 ? String(Math.round(value)) : value.toPrecision(3).replace(/\.?0+$/, "");
  return `${text} ${PREFIXES[prefix]}B`;
}

/** A count with groups of three digits. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
}

/** A noun with its count; the plural in -s unless given. */
export function counted(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** A measured value with three digits; large ones in groups, never in powers of ten below a billion. */
export function measured(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e9) return (value < 0 ? "−" : "") + count(Number(size.toPrecision(3)));
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** A fraction as a percentage: whole above ten, else two digits. */
export function percent(fraction: number): string {
  const value = 100 * fraction;
  return `${value >= 10 || value === 0 ? Math.round(value) : Number(value.toPrecision(2))} %`;
}

/** A duration in at most two units: 45 s, 3 min, 2 h 5 min, 4 days. */
export function duration(seconds: number): string {
  if (seconds < 59.5) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** The time left as people say it; an estimate is not given to the second. */
export function timeLeft(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  return `about ${duration(seconds)} left`;
}

/** How long ago something was, for a list that is read at a glance. */
export function ago(then: Date, now: Date): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 48 * 3600)
    return `${duration(Math.max(60, seconds)).replace(/ \d+ min$/, (found) => (seconds >= 3600 ? "" : found))} ago`;
  return day(then, now);
}

/** A date in words that nobody reads the wrong way round: 3 May, or 3 May 2025 in another year. */
export function day(then: Date, now: Date): string {
  const year: Intl.DateTimeFormatOptions = then.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year });
}

/** A point in time in full. */
export function moment(then: Date): string {
  return then.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** A shape in voxels along z, y, x. */
export function shapeText(zyx: readonly number[]): string {
  return zyx.map(count).join(" × ");
}

/** A voxel size in ångström along z, y, x: one number if it is the same along all axes. */
export function voxelSizeText(zyx: readonly number[]): string {
  const texts = zyx.map(significant);
  return new Set(texts).size === 1 ? `${texts[0]} Å` : `${texts.join(" × ")} Å`;
}

/** A number as a 32-bit header has it, without the digits that come only from its binary form. */
export function significant(value: number): string {
  return String(Number(value.toPrecision(7)));
}
