"""Photos and instances in COCO's format: one JSON file per set."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from hqsam_lightning.checks import arguments
from hqsam_lightning.data.annotated_checks import REMEDY, check_photos
from hqsam_lightning.data.coco_json import CocoContent, read_coco
from hqsam_lightning.data.datasets.annotated import ARGUMENTS, AnnotatedPhoto, AnnotatedPhotos, PhotoMasks
from hqsam_lightning.data.names import count_unlisted, find_photo, names_of, unique_stems
from hqsam_lightning.data.problems import ProblemsError, as_lines, describe_counts, raise_problems, shown
from hqsam_lightning.errors import DataError

log = logging.getLogger(__name__)


class CocoInstances(AnnotatedPhotos):
    """Photos and instances of one file in COCO's format.

        >>> from hqsam_lightning.data.datasets import CocoInstances
        >>> sample = CocoInstances("annotations/instances_val2017.json", "val2017")[0]  # doctest: +SKIP

    The whole file is checked first. Crowds are left out (to every instance they are background), as are photos without
    an instance or without a mask that covers a pixel; the log counts them.

    Args:
        annotations: JSON with images and annotations. An image without file_name, as in LVIS, is found by the last two
            parts of its coco_url.
        images: folder of the photos; file names do not leave it, but links in it may.
        max_masks: see `AnnotatedPhotos`.
        exclude: names or file names of photos to leave out, with or without suffix.
        check: ``"quick"`` (the whole file, the photos' headers) or ``"full"`` (every photo and mask is decoded).
        exif: ``"apply"``, ``"ignore"`` or None, see `check_photos`.
        name: of the set, which begins the sample ids.
        strict: whether a photo or annotation that cannot be used is an error; otherwise the photo, or that of the
            annotation, is left out.

    Attributes:
        excluded: which names of `exclude` are those of listed photos.

    Raises:
        ConfigError: a value cannot work, or exif is None and the photos need it.
        DataError: one for all problems of the file, or of the photos.
    """

    @arguments("data", **ARGUMENTS)
    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        max_masks: int | None = None,
        exclude: Sequence[str] = (),
        check: str = "quick",
        exif: str | None = None,
        name: str = "coco",
        strict: bool = True,
    ) -> None:
        source, folder = Path(annotations).expanduser(), Path(images).expanduser()
        content = read_coco(source, exclude, strict)
        wanted = set(exclude)
        self.excluded = wanted and {called for listed in content.listed for called in names_of(listed) & wanted}
        photos = _find_photos(content, source, folder, name, strict)
        checked, applied, problems = check_photos(photos, self.read_masks, exif, check)
        if strict:
            raise_problems(f"data.images={images}", problems, REMEDY)
        used = [each.photo for each in checked if each.usable]
        if not used:
            raise_problems(f"data.images={images}", [*problems, *content.problems], REMEDY)
            raise DataError(f"{annotations}: expected an instance with a segmentation, found none; use another file")
        left_out = {
            "photos by data.exclude": len(content.listed) - len(content.images),
            "photos without an instance": len(content.images) - len(photos),
            "photos that cannot be used": len(problems),
            "photos whose masks have no pixel": len(checked) - len(used),
            "pictures that the file does not list": count_unlisted(folder, content.listed),
            "entries that cannot be used": len(content.problems),
            **content.left_out,
            "masks without a pixel": sum(each.empty for each in checked),
        }
        counts = describe_counts(left_out)
        log.info(
            "%s: %d photos in %s, %d used; left out: %s", name, len(content.listed), source.name, len(used), counts
        )
        if wrong := [*problems, *content.problems]:
            log.warning(as_lines(f"{name}: {len(wrong)} photos or entries of {source.name} left out", wrong))
        super().__init__(name, used, max_masks, applied, problems, content.problems)

    def read_masks(self, photo: AnnotatedPhoto) -> PhotoMasks:
        """The photo's instances."""
        assert photo.masks is not None
        return photo.masks


def _find_photos(content: CocoContent, source: Path, folder: Path, name: str, strict: bool) -> list[AnnotatedPhoto]:
    """The photos that have an instance; where it is strict all have to be there, otherwise one."""
    stems = dict(zip(content.listed, unique_stems(content.listed), strict=True))
    photos = [
        AnnotatedPhoto(
            path=find_photo(folder, image),
            name=image,
            sample_id=f"{name}/{stems[image]}",
            source=source,
            masks=masks,
        )
        for image, masks in content.images.items()
        if masks.segmentations
    ]
    missing = [photo.name for photo in photos if not os.path.isfile(photo.path)]
    if missing and (strict or len(missing) == len(photos)):
        named = ", ".join(map(shown, missing[:3]))
        raise ProblemsError(
            f"data.images={folder}: expected the {len(photos)} photos that {source.name} names, each a regular file; "
            f"{len(missing)} are missing, such as {named}; set data.images, or list them in data.exclude",
            [f"data.images={folder}: {shown(name)} of {source.name} is missing" for name in missing],
        )
    return photos
