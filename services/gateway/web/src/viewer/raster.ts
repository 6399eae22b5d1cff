// Sections as images that are drawn again only when they have changed.

import type { Section } from "./section.ts";

/** An image of a part of a section. */
export class Raster {
  readonly canvas = document.createElement("canvas");
  private key = "";

  /** Paint the image anew if `key` is another one than the last time; pixels are ABGR. */
  update(key: string, width: number, height: number, paint: (pixels: Uint32Array) => void): void {
    if (key === this.key || width === 0 || height === 0) return;
    this.key = key;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const image = new ImageData(width, height);
    paint(new Uint32Array(image.data.buffer));
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
  }
}

/** A section that is computed again only when it has changed or was not complete. */
export class CachedSection<T extends Float32Array | Uint16Array> {
  /** Names the present content. */
  key = "";
  section: Section<T> | null = null;
  private version = -1;

  /**
   * @param key what is asked for
   * @param version of the chunks; an incomplete section is computed again when it has changed
   */
  update(key: string, version: number, compute: () => Section<T>): Section<T> {
    const known = this.section;
    if (known && this.key === key && (known.complete || this.version === version)) return known;
    this.key = key;
    this.version = version;
    this.section = compute();
    return this.section;
  }

  /** Changes whenever the section has been computed again. */
  get contentKey(): string {
    return this.section?.complete ? this.key : `${this.key}@${this.version}`;
  }
}
