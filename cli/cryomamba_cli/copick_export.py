"""``export --copick``: tomograms, masks and picks into a copick project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryomamba.errors import InvalidRequestError
from cryomamba_cli.masks import progress_bar

if TYPE_CHECKING:
    from cryomamba.copick import Annotation
    from cryomamba.picks import Picks, TomogramInfo
    from cryomamba.volumes import LabelVolume, Volume


def export_volume(
    source: Path,
    volume: Volume,
    config: Path,
    *,
    run: str | None,
    name: str | None,
    label: int | None,
    tomogram_type: str | None,
    instances: bool,
    replace: bool,
    shown: bool,
) -> list[Path]:
    """Put a mask, or with a type a tomogram, into a project; return the new folders."""
    from cryomamba.copick import Project, add_segmentation, add_tomogram
    from cryomamba.copick.write import cubic_voxel_size
    from cryomamba.file_names import split_result_name
    from cryomamba.volumes import LabelVolume

    run = run or split_result_name(source)[0]
    cubic_voxel_size(volume.voxel_size_A)
    if tomogram_type is not None:
        project = Project.open_or_create(config)
        with progress_bar("writing", shown=shown) as progress:
            return [add_tomogram(project, run, volume, tomogram_type, replace=replace, progress=progress)]
    mask = LabelVolume.if_mask(volume)
    if mask is None:
        raise InvalidRequestError(
            f"'{source.name}' is a tomogram, not a mask.", hint="Give its type in copick with --tomo-type, such as wbp."
        )
    chosen = _chosen(source, mask, name, label, instances=instances)
    project = Project.open_or_create(config)
    paths = []
    for number, annotation in chosen.items():
        content = mask if number is None else mask.only(number)
        with progress_bar(f"writing {annotation.name}", shown=shown) as progress:
            paths.append(
                add_segmentation(
                    project, run, content, annotation, instances=instances, replace=replace, progress=progress
                )
            )
    return paths


def export_picks(
    source: Path,
    picks: Picks,
    tomogram: TomogramInfo,
    config: Path,
    *,
    run: str | None,
    name: str | None,
    replace: bool,
) -> list[Path]:
    """Put picks into a project; particles of several labels become an object each."""
    import numpy as np

    from cryomamba.copick import Project, add_picks, annotation_of
    from cryomamba.file_names import split_result_name

    project = Project.open_or_create(config)
    annotation = annotation_of(name or split_result_name(source.with_suffix(""))[1] or picks.kind)
    labels = [int(label) for label in np.unique(picks.labels)]
    several = picks.kind == "particles" and len(labels) > 1
    parts = {label: picks.select(picks.labels == label) for label in labels} if several else {0: picks}
    return [
        add_picks(project, run or tomogram.name, part, _numbered(annotation, label), tomogram, replace=replace)
        for label, part in parts.items()
    ]


def _chosen(
    source: Path, mask: LabelVolume, name: str | None, label: int | None, *, instances: bool
) -> dict[int | None, Annotation]:
    """Return the annotation for each label; None is all labels as they are."""
    from cryomamba.copick import Annotation, annotation_of
    from cryomamba.copick.names import copick_name
    from cryomamba.file_names import split_result_name
    from cryomamba.volumes.label_names import names_in

    base = annotation_of(name or split_result_name(source)[1] or "mask")
    if instances:
        return {None: base}
    names = names_in(mask.meta.labels)
    labels = [label] if label is not None else labels_in(mask)
    if len(labels) == 1:
        only = labels[0]
        named = name is None and only in names
        return {only: Annotation(copick_name(names[only]), base.user, base.session) if named else base}
    return {
        number: Annotation(copick_name(names[number]), base.user, base.session)
        if name is None and number in names
        else _numbered(base, number)
        for number in labels
    }


def labels_in(mask: LabelVolume) -> list[int]:
    """Return the labels that occur in a mask, at most 32."""
    import numpy as np

    from cryomamba.masks.slabs import LabelSource

    found: set[int] = set()
    for slab in LabelSource.of_volume(mask).slabs():
        found.update(int(label) for label in np.unique(slab))
    found.discard(0)
    if not found:
        raise InvalidRequestError("The mask is empty.", hint="Look at it with 'cryomamba measure'.")
    if len(found) > _MOST_OBJECTS:
        raise InvalidRequestError(
            f"The mask has {len(found)} labels; each would become an object of the copick project.",
            hint="If they number the instances of one object, add --instances; or choose one with --label.",
        )
    return sorted(found)


def _numbered(annotation: Annotation, label: int) -> Annotation:
    from cryomamba.copick import Annotation

    return Annotation(f"{annotation.name}-{label}", annotation.user, annotation.session) if label else annotation


_MOST_OBJECTS = 32
