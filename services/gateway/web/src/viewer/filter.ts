// The low-pass filter for noisy sections. Pure.

/**
 * Smooth with a Gaussian, in place. Beyond an edge its values are taken to go on; a line with a value that is no number
 * stays as it is.
 *
 * @param sigma from row to row (down) and along a row (right), in values
 */
export function smooth(values: Float32Array, width: number, height: number, sigma: { down: number; right: number }): void {
  if (sigma.right > 0) {
    const smoother = new LineSmoother(sigma.right, width);
    for (let row = 0; row < height; row++) smoother.smooth(values, row * width, 1);
  }
  if (sigma.down > 0) {
    const smoother = new LineSmoother(sigma.down, height);
    for (let column = 0; column < width; column++) smoother.smooth(values, column, width);
  }
}

class LineSmoother {
  private readonly kernel: Float32Array;
  private readonly reach: number;
  private readonly line: Float32Array;

  constructor(
    sigma: number,
    private readonly length: number,
  ) {
    this.kernel = halfGaussian(sigma);
    this.reach = this.kernel.length - 1;
    this.line = new Float32Array(length + 2 * this.reach);
  }

  smooth(values: Float32Array, start: number, step: number): void {
    const { kernel, reach, line, length } = this;
    for (let at = 0; at < length; at++) {
      const value = values[start + at * step]!;
      if (Number.isNaN(value)) return;
      line[at + reach] = value;
    }
    line.fill(line[reach]!, 0, reach);
    line.fill(line[reach + length - 1]!, reach + length);
    for (let at = 0; at < length; at++) {
      const middle = at + reach;
      let total = kernel[0]! * line[middle]!;
      for (let n = 1; n <= reach; n++) total += kernel[n]! * (line[middle - n]! + line[middle + n]!);
      values[start + at * step] = total;
    }
  }
}

/** Half of a normalised Gaussian, from its middle to three sigma. */
function halfGaussian(sigma: number): Float32Array {
  const weights = Array.from({ length: Math.ceil(3 * sigma) + 1 }, (_, n) => Math.exp(-(n * n) / (2 * sigma * sigma)));
  const sum = weights.reduce((total, weight, n) => total + (n === 0 ? weight : 2 * weight), 0);
  return Float32Array.from(weights, (weight) => weight / sum);
}
