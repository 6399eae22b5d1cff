// Which rows of a long list are drawn: those that can be seen, and some beyond, so that scrolling shows no gaps.

export interface Rows {
  first: number;
  /** One after the last. */
  end: number;
  /** Heights in pixels of the space that stands for the rows before and after. */
  above: number;
  below: number;
}

export interface Extent {
  /** Top of the list relative to the top of the window, in pixels; negative once it is scrolled. */
  top: number;
  windowHeight: number;
  rowHeight: number;
}

const BEYOND = 12;
/** Rows are added and removed in steps, so that not every pixel of scrolling draws. */
const STEP = 6;

export function visibleRows(count: number, { top, windowHeight, rowHeight }: Extent, keep = -1): Rows {
  if (count === 0 || rowHeight <= 0) return { first: 0, end: count, above: 0, below: 0 };
  const seenFirst = Math.floor(-top / rowHeight);
  const seenEnd = Math.ceil((windowHeight - top) / rowHeight);
  let first = clamp(Math.floor((seenFirst - BEYOND) / STEP) * STEP, 0, count);
  let end = clamp(Math.ceil((seenEnd + BEYOND) / STEP) * STEP, 0, count);
  if (first === end) first = Math.max(0, Math.min(first, count - STEP));
  // The row that has the keyboard stays, however far away it is.
  if (keep >= 0 && keep < count && keep < first && first - keep < BEYOND) first = keep;
  if (keep >= end && keep < count && keep - end < BEYOND) end = keep + 1;
  return { first, end, above: first * rowHeight, below: (count - end) * rowHeight };
}

/** Where to scroll by, so that a row is in view; 0 if it is. */
export function scrollToRow(index: number, { top, windowHeight, rowHeight }: Extent): number {
  const rowTop = top + index * rowHeight;
  if (rowTop >= 0 && rowTop + rowHeight <= windowHeight) return 0;
  return rowTop - (windowHeight - rowHeight) / 2;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
