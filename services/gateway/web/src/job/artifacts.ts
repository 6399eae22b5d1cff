// What each output file of a job is for.

export interface FilePurpose {
  /** What it is, in a few words. */
  title: string;
  /** What to do with it, in a sentence. */
  purpose: string;
  /** Order in the list. */
  rank: number;
}

const FILES: Readonly<Record<string, readonly [string, string]>> = {
  "mask.mrc": ["Mask", "The segmentation on the tomogram's grid, for IMOD, ChimeraX and most other programs."],
  "picks.star": [
    "Coordinates for RELION",
    "Positions and orientations as a STAR file, for subtomogram averaging in RELION or Warp.",
  ],
  "picks.csv": [
    "Coordinates as a table",
    "Positions, scores and, where there are any, orientations; for spreadsheets and scripts.",
  ],
  "picks.tbl": ["Coordinates for Dynamo", "Positions and orientations as a Dynamo table."],
  "stats.csv": [
    "Measurements as a table",
    "Volume, surface, thickness and position of each component, for spreadsheets.",
  ],
  "instances.mrc": ["Labelled components", "Every connected component has its own number, 1 for the largest."],
  "medial_surface.mrc": ["Medial surface", "The middle of each membrane, one voxel thick, numbered by component."],
  "normals.nrrd": [
    "Normals",
    "Directions perpendicular to the membranes, as a vector field for 3D Slicer and scripts.",
  ],
  "mask.nii.gz": ["Mask as NIfTI", "The same mask for napari, 3D Slicer and ITK-SNAP; compressed."],
  "mask.nrrd": ["Mask as NRRD", "The same mask for 3D Slicer and scripts; compressed."],
  "scores.mrc": [
    "Score map",
    "The engine's score of each voxel, 0 to 255, from which a mask with another threshold can be made.",
  ],
  "uncertainty.mrc": [
    "Uncertainty",
    "Uncertainty of the label of each voxel: 0 is certain, 100 is undecided.",
  ],
  "candidates.csv": ["Candidates", "All positions with their scores, also those below the threshold."],
  "stats.json": ["Measurements and settings", "All numbers of this page, with the parameters used, for programs."],
};
const ORDER = Object.keys(FILES);
const REVISION = /^mask_r(\d+)\.mrc$/;

export function filePurpose(name: string): FilePurpose {
  const known = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (known) return { title: known[0], purpose: known[1], rank: ORDER.indexOf(name) + 1 };
  const revision = REVISION.exec(name);
  // A corrected mask is what most people want, the newest first.
  if (revision)
    return {
      title: `Corrected mask ${revision[1]}`,
      purpose: "A mask that a person has corrected.",
      rank: -Number(revision[1]),
    };
  return { title: name, purpose: "A file of this engine.", rank: ORDER.length + 1 };
}

/** The files in the order in which they are offered. */
export function inOrder<T extends { name: string }>(files: readonly T[]): T[] {
  return [...files].sort(
    (one, other) => filePurpose(one.name).rank - filePurpose(other.name).rank || one.name.localeCompare(other.name),
  );
}
