"""Photos whose masks are in JSON: SA-1B (a file a photo) and anything in COCO's format (a file a set)."""

from __future__ import annotations

import hashlib
import json
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

Segmentation = Mapping[str, Any] | Sequence[Sequence[float]]
"""COCO's run lengths {"size": [h, w], "counts": ...}, compressed or not, or a list of polygons [x, y, x, y, ...]."""


class AnnotatedPhotos(ABC):
    """Photos with several masks each; a subclass knows where the masks are.

    Args:
        name: which begins the sample ids.
        photos: paths, whose stems are unique.
        max_masks: most masks of a photo: where it has more, these are drawn at random, always the same ones.

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
        sample_id = self._sample_id(index)
        found = self.segmentations(index)
        if len(found) > self.max_masks:
            chosen = derive_rng("masks", sample_id).choice(len(found), self.max_masks, replace=False)
            found = [found[place] for place in sorted(chosen)]
        masks = [self._decode(segmentation, image.shape[:2], index) for segmentation in found]
        masks = [mask for mask in masks if mask.any()]
        if not masks:
            raise DataError(f"{self.source(index)}: expected a mask with a pixel for {self.photos[index]}, found none")
        return Sample(image, np.stack(masks).astype(np.float32), sample_id, self.name)

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
    def source(self, index: int) -> Path:
        """The file that a photo's masks are in."""

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
        limit: the first so many photos by name; None takes all.

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
        super().__init__("sa1b", photos[:limit], max_masks)

    def segmentations(self, index: int) -> list[Segmentation]:
        """Reads the photo's annotations."""
        path = self.source(index)
        found = [annotation["segmentation"] for annotation in _read_json(path, ("annotations",))["annotations"]]
        if not found:
            raise DataError(f"{path}: expected at least one annotation, found none; remove the photo")
        return found

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
        DataError: the file cannot be read, or has no instance.
    """

    def __init__(self, annotations: str | Path, images: str | Path, max_masks: int) -> None:
        self.annotations = Path(annotations).expanduser()
        content = _read_json(self.annotations, ("images", "annotations"))
        names = {image["id"]: image["file_name"] for image in content["images"]}
        instances: dict[Any, list[Segmentation]] = {}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd") and annotation.get("segmentation"):
                instances.setdefault(annotation["image_id"], []).append(annotation["segmentation"])
        if not instances:
            raise DataError(f"{annotations}: expected an instance with a segmentation, found none")
        ids = sorted(instances, key=lambda key: names[key])
        self._instances = [instances[key] for key in ids]
        super().__init__("coco", [Path(images).expanduser() / names[key] for key in ids], max_masks)

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
