"""SA-1B: photos with a JSON file of masks each."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from hqsam_lightning.checks import arguments, integer, optional
from hqsam_lightning.data.annotated_checks import REMEDY as PHOTO_REMEDY
from hqsam_lightning.data.annotated_checks import check_photos
from hqsam_lightning.data.coco_json import entry_size, read_annotations
from hqsam_lightning.data.datasets.annotated import ARGUMENTS, AnnotatedPhoto, AnnotatedPhotos, PhotoMasks
from hqsam_lightning.data.names import (
    OTHER_SUFFIXES,
    PHOTO_SUFFIXES,
    name_problem,
    names_of,
    refuse_unknown,
)
from hqsam_lightning.data.problems import describe_counts, raise_problems, shown
from hqsam_lightning.errors import DataError

QUICK_SAMPLE = 200
"""Files of annotations that the quick check reads, spread over the set."""

REMEDY = "download the files again, or list the photos in data.exclude"

log = logging.getLogger(__name__)


class Sa1b(AnnotatedPhotos):
    """A folder of SA-1B: sa_N.jpg with sa_N.json in the same folder.

        >>> from hqsam_lightning.data.datasets import Sa1b
        >>> sample = Sa1b("sa_000020", max_masks=8)[0]  # doctest: +SKIP

    Kirillov et al., "Segment Anything", ICCV 2023, section 5.

    Args:
        folder: searched with all its subfolders, as SA-1B comes in numbered folders; hidden files are left out.
        max_masks: see `AnnotatedPhotos`.
        limit: number of photos to use, the first ones by name; None takes all. Fewer are reported in the log.
        exclude: names or file names of photos to leave out, with or without suffix.
        check: ``"quick"`` (all photos' headers, and the annotations of `QUICK_SAMPLE` photos; others are checked when
            they are drawn) or ``"full"`` (every photo, file and mask is decoded).
        exif: ``"apply"``, ``"ignore"`` or None, see `check_photos`.

    Raises:
        ConfigError: a value cannot work, or exif is None and the photos need it.
        DataError: no photo has annotations; or one for all problems.
    """

    @arguments("data", limit=optional(integer(1)), **ARGUMENTS)
    def __init__(
        self,
        folder: str | Path,
        max_masks: int | None = None,
        limit: int | None = None,
        exclude: Sequence[str] = (),
        check: str = "quick",
        exif: str | None = None,
    ) -> None:
        title = f"data.folder={folder}"
        found = _list_photos(Path(folder).expanduser(), exclude, title)
        photos = found[:limit]
        if limit is not None and len(photos) < limit:
            log.warning("%s: %s photos, fewer than data.limit=%s", title, len(photos), limit)
        checked, applied, problems = check_photos(photos, self.read_masks, exif, check, QUICK_SAMPLE)
        raise_problems(title, problems, PHOTO_REMEDY)
        empty = sum(each.empty for each in checked)
        log.info("sa1b: using %d photos; checked %d: %d masks without a pixel", len(photos), len(checked), empty)
        super().__init__("sa1b", photos, max_masks, applied)

    def read_masks(self, photo: AnnotatedPhoto) -> PhotoMasks:
        """Reads and checks the photo's annotations.

        Raises:
            DataError: the file is damaged or has no annotation.
        """
        content = read_annotations(photo.source, ("annotations",), REMEDY)
        about = {} if content.get("image") is None else content["image"]
        if not isinstance(about, dict):
            raise DataError(f"{photo.source}: expected an object under image, got {shown(about)}; {REMEDY}")
        size, problem = entry_size(about)
        masks, problems = PhotoMasks(size), [f"image: {problem}"] if problem else []
        for place, annotation in enumerate(content["annotations"]):
            if isinstance(annotation, dict):
                problem = masks.add(annotation.get("segmentation"))
            else:
                problem = f"expected an object, got {shown(annotation)}"
            if problem:
                problems.append(f"annotations[{place}]: {problem}")
        raise_problems(str(photo.source), problems, REMEDY)
        if not masks.segmentations:
            raise DataError(f"{photo.source}: expected at least one annotation, found none; {REMEDY}")
        return masks


def _list_photos(root: Path, exclude: Sequence[str], title: str) -> list[AnnotatedPhoto]:
    """Lists the photos that have annotations and are not excluded, by file name."""
    files = list(_walk(root))
    pictures = [name for name in files if PurePath(name).suffix.lower() in PHOTO_SUFFIXES]
    annotated = {name for name in files if name.endswith(".json")}
    usable = [name for name in pictures if _json_name(name) in annotated and os.path.isfile(root / name)]
    names = [name for name in usable if not names_of(name) & set(exclude)]
    left_out = {
        "photos by data.exclude": len(usable) - len(names),
        "photos without a .json, or no regular file": len(pictures) - len(usable),
        ".json files without a photo": len(annotated - set(map(_json_name, pictures))),
        "pictures of other formats": sum(PurePath(name).suffix.lower() in OTHER_SUFFIXES for name in files),
    }
    log.info("%s: %d photos, %d usable; left out: %s", title, len(pictures), len(names), describe_counts(left_out))
    if not names:
        raise DataError(
            f"{title}: expected SA-1B's sa_N.jpg with sa_N.json in the same folder, found none; left out: "
            f"{describe_counts(left_out)}; download it from "
            "https://ai.meta.com/datasets/segment-anything-downloads/"
        )
    refuse_unknown(exclude, {called for name in pictures for called in names_of(name)}, title)
    raise_problems(title, _name_problems(names), "rename or remove them")
    photos = [
        AnnotatedPhoto(root / name, name, f"sa1b/{PurePath(name).stem}", root / _json_name(name)) for name in names
    ]
    return sorted(photos, key=lambda photo: (photo.path.name, photo.name))


def _name_problems(names: Sequence[str]) -> list[str]:
    problems = [f"{shown(name)}: {problem}" for name in names if (problem := name_problem(name))]
    counts = Counter(PurePath(name).stem for name in names)
    repeated = (name for name in names if counts[PurePath(name).stem] > 1)
    return problems + [f"{shown(name)}: another photo has the same name" for name in repeated]


def _json_name(photo: str) -> str:
    return os.path.splitext(photo)[0] + ".json"


def _walk(root: Path) -> Iterator[str]:
    """Names of all files that are not hidden, relative to the folder; linked folders are entered once."""
    entered: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse_folder, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders.sort()
        inside = os.path.relpath(folder, root)
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.normpath(os.path.join(inside, name))


def _refuse_folder(error: OSError) -> None:
    raise DataError(f"data.folder: cannot list {shown(error.filename)} ({error.strerror}); set data.folder") from error
