"""Photos whose masks are in JSON: SA-1B (a file a photo) and anything in COCO's format (a file a set)."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np

from hqsam_lightning.data.reading import file_fingerprint, read_image
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import Identity, Sample

log = logging.getLogger(__name__)

LEAST_POLYGON = 6
"""Numbers of a polygon: three corners. The decoder takes four for a box."""

Segmentation = Mapping[str, Any] | Sequence[Sequence[float]]
"""COCO's run lengths {"size": [h, w], "counts": ...}, compressed or not, or a list of polygons [x, y, x, y, ...]."""


class AnnotatedPhotos(ABC):
    """Photos with several masks each; a subclass knows where the masks are.

    Args:
        name: which begins the sample ids.
        photos: paths, whose stems are unique.
        max_masks: most masks of a photo: where it has more, these are drawn at random, always the same ones. Masks
            without a pixel do not count.

    Raises:
        ConfigError: for fewer than one mask a photo.
    """

    def __init__(self, name: str, photos: Sequence[Path], max_masks: int) -> None:
        if max_masks < 1:
            raise ConfigError(f"data.max_masks: expected an integer >= 1; got {max_masks}")
        self.name = name
        self.photos = list(photos)
        self.max_masks = max_masks

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Sample:
        """Reads one photo and its masks.

        Raises:
            DataError: naming the file that is damaged, or whose masks are of another size.
        """
        image = read_image(self.photos[index])
        self._check_size(index, image.shape[:2])
        found, sample_id = self.segmentations(index), self._sample_id(index)
        order = range(len(found))
        if len(found) > self.max_masks:
            order = derive_rng("masks", sample_id).permutation(len(found)).tolist()
        masks: dict[int, np.ndarray] = {}
        for place in order:
            mask = self._decode(found[place], image.shape[:2], index)
            if mask.any() and len(masks) < self.max_masks:
                masks[place] = mask
        if not masks:
            raise DataError(f"{self.source(index)}: expected a mask with a pixel for {self.photos[index]}, found none")
        stacked = np.stack([masks[place] for place in sorted(masks)])
        return Sample(image, stacked.astype(np.float32), sample_id, self.name)

    def reduced(self, index: int, longest: int) -> Sample:
        """Reads one photo whole: its masks are of its size."""
        return self[index]

    def identify(self, index: int) -> Identity:
        """Tells a photo by its file and its masks."""
        fingerprint = f"{file_fingerprint(self.photos[index])} {self._masks_fingerprint(index)} {self.max_masks}"
        return Identity(self._sample_id(index), self.name, fingerprint)

    @abstractmethod
    def segmentations(self, index: int) -> list[Segmentation]:
        """The masks of a photo, at least one."""

    @abstractmethod
    def stated_size(self, index: int) -> tuple[int, int] | None:
        """Height and width that a photo had when it was annotated, where this is said apart from its masks."""

    @abstractmethod
    def source(self, index: int) -> Path:
        """The file that a photo's masks are in."""

    def _check_size(self, index: int, size: tuple[int, ...]) -> None:
        """Else polygons would be filled in a frame that they are not for."""
        stated = self.stated_size(index)
        if stated is not None and stated != size:
            raise DataError(
                f"{self.source(index)}: expected {self.photos[index].name} with height x width {stated[0]}x{stated[1]} "
                f"as its annotations say, got {size[0]}x{size[1]}; use the photos that were annotated"
            )

    def _masks_fingerprint(self, index: int) -> str:
        text = json.dumps(self.segmentations(index), default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _decode(self, segmentation: Segmentation, size: tuple[int, ...], index: int) -> np.ndarray:
        """(H, W) bool."""
        try:
            mask = _decode(segmentation, size)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise DataError(
                f"{self.source(index)}: expected polygons or run lengths for {self.photos[index].name}; "
                f"cannot decode {str(segmentation)[:60]} ({error})"
            ) from error
        if mask.shape != size:
            raise DataError(
                f"{self.source(index)}: expected masks of {self.photos[index].name}'s size, height x width "
                f"{size[0]}x{size[1]}; got {mask.shape[0]}x{mask.shape[1]}"
            )
        return mask

    def _sample_id(self, index: int) -> str:
        return f"{self.name}/{self.photos[index].stem}"


class Sa1bPhotos(AnnotatedPhotos):
    """A folder of SA-1B: sa_N.jpg with sa_N.json beside it.

    Kirillov et al., "Segment Anything", ICCV 2023, section 5.

    Args:
        folder: searched with all below it, as SA-1B comes in numbered folders.
        max_masks: see `AnnotatedPhotos`.
        limit: the first so many photos by name; None takes all. Fewer are said in the log.

    Raises:
        DataError: no photo has annotations beside it.
    """

    def __init__(self, folder: str | Path, max_masks: int, limit: int | None = None) -> None:
        photos = sorted(Path(folder).expanduser().rglob("*.jpg"), key=lambda photo: photo.name)
        photos = [photo for photo in photos if photo.with_suffix(".json").is_file()]
        if not photos:
            raise DataError(
                f"data.folder={folder}: expected SA-1B's sa_N.jpg with sa_N.json beside them, found none; "
                "download it from https://ai.meta.com/datasets/segment-anything-downloads/"
            )
        if limit is not None and len(photos) < limit:
            log.warning("data.folder=%s: %s photos, fewer than data.limit=%s", folder, len(photos), limit)
        super().__init__("sa1b", photos[:limit], max_masks)

    def segmentations(self, index: int) -> list[Segmentation]:
        """Reads the photo's annotations."""
        path = self.source(index)
        found = [annotation["segmentation"] for annotation in _read_json(path, ("annotations",))["annotations"]]
        if not found:
            raise DataError(f"{path}: expected at least one annotation, found none; remove the photo")
        return found

    def stated_size(self, index: int) -> tuple[int, int] | None:
        """Nothing: SA-1B's run lengths have a size of their own."""
        return None

    def source(self, index: int) -> Path:
        """The photo's own file of annotations."""
        return self.photos[index].with_suffix(".json")

    def _masks_fingerprint(self, index: int) -> str:
        return file_fingerprint(self.source(index))


class CocoPhotos(AnnotatedPhotos):
    """Photos and instances in COCO's format; crowds and photos without an instance are left out.

    Args:
        annotations: JSON with images and annotations.
        images: folder of the photos.
        max_masks: see `AnnotatedPhotos`.

    Raises:
        DataError: the file cannot be read, has no instance, or names an image or a photo that is not there.
    """

    def __init__(self, annotations: str | Path, images: str | Path, max_masks: int) -> None:
        self.annotations = Path(annotations).expanduser()
        content = _read_json(self.annotations, ("images", "annotations"))
        known = {image["id"]: image for image in content["images"]}
        instances: dict[Any, list[Segmentation]] = {}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd") and annotation.get("segmentation"):
                instances.setdefault(annotation["image_id"], []).append(annotation["segmentation"])
        if not instances:
            raise DataError(f"{annotations}: expected an instance with a segmentation, found none")
        strangers = instances.keys() - known.keys()
        if strangers:
            raise DataError(f"{annotations}: expected an image for each annotation; image_id {min(strangers)} has none")
        ids = sorted(instances, key=lambda key: known[key]["file_name"])
        self._instances = [instances[key] for key in ids]
        self._sizes = [(known[key].get("height"), known[key].get("width")) for key in ids]
        photos = [Path(images).expanduser() / known[key]["file_name"] for key in ids]
        missing = [photo for photo in photos if not photo.is_file()]
        if missing:
            raise DataError(
                f"data.images={images}: expected the {len(photos)} photos that {self.annotations.name} names; "
                f"{len(missing)} are missing, such as {missing[0].name}"
            )
        super().__init__("coco", photos, max_masks)

    def stated_size(self, index: int) -> tuple[int, int] | None:
        """That of the set's list of images."""
        height, width = self._sizes[index]
        return None if height is None or width is None else (height, width)

    def segmentations(self, index: int) -> list[Segmentation]:
        """The photo's instances."""
        return self._instances[index]

    def source(self, index: int) -> Path:
        """The set's one file."""
        return self.annotations


def _decode(segmentation: Segmentation, size: tuple[int, ...]) -> np.ndarray:
    if isinstance(segmentation, Mapping):
        lengths = dict(segmentation)
        if isinstance(lengths["counts"], list):
            lengths = rle.frPyObjects(lengths, *lengths["size"])
        return rle.decode(lengths).astype(bool)
    if any(len(polygon) < LEAST_POLYGON for polygon in segmentation):
        raise ValueError(f"a polygon has at least {LEAST_POLYGON} numbers")
    return rle.decode(rle.merge(rle.frPyObjects(list(segmentation), *size))).astype(bool)


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Reads a JSON file with these lists."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"expected annotations, cannot read {path}: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, got a damaged file ({error}); get it again") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise DataError(f"{path}: expected a JSON object with lists of {' and '.join(keys)}")
    return content
