/** Layers of the mask that are no file: the newest preview, and nothing. */
export const PREVIEW = "preview";
export const NOTHING = "none";
