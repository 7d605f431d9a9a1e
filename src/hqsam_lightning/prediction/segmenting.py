"""Ways from loaded photos to segments: by prompts, several photos at a time; in cuts; in tiles; and of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from faster_coco_eval import mask as rle

from hqsam_lightning.inference import HQSam, SamAutomaticMaskGenerator
from hqsam_lightning.inference.objects import Segment
from hqsam_lightning.inference.rows import decode_rows, encode_fitted, restore
from hqsam_lightning.inference.tiled_automatic import TiledMaskGenerator
from hqsam_lightning.inference.tiles import TiledPredictor
from hqsam_lightning.inference.zoom import ZoomPredictor
from hqsam_lightning.prediction.loading import Loaded


class Segmenting(Protocol):
    """Gives the segments of a few photos."""

    def __call__(self, photos: Sequence[Loaded]) -> Iterator[Iterator[Segment]]:
        """Yields the segments of each photo, to be taken before the next photo's."""


@dataclass(frozen=True)
class Settings:
    """How a model predicts.

    Attributes:
        multimask: of SAM's three masks for a prompt, take the one that it scores highest.
        prompts_per_call: most rows of one call of the decoder.
        batch_size: photos, cuts or tiles per call of the encoder.
        tile: side of tiles in pixels; None takes photos whole.
        overlap: of tiles.
        automatic: options of `SamAutomaticMaskGenerator`.
        margin: of the cut around each box that is encoded instead of the photo; None takes photos or tiles.
    """

    multimask: bool
    prompts_per_call: int
    batch_size: int
    tile: int | None
    overlap: int
    automatic: Mapping[str, Any] = field(default_factory=dict)
    margin: float | None = None


def segmenting(model: HQSam, settings: Settings, everything: bool) -> Segmenting:
    """The way that fits the settings.

    Args:
        model: to predict with.
        settings: of it.
        everything: whether there are no prompts.

    Raises:
        ConfigError: the settings cannot work.
    """
    if settings.margin is not None:
        return _InCuts(model, settings, settings.margin)
    if everything:
        return _Everything(model, settings)
    return _InTiles(model, settings) if settings.tile else _ByPrompts(model, settings)


class _ByPrompts:
    def __init__(self, model: HQSam, settings: Settings) -> None:
        self.model, self.settings = model, settings

    def __call__(self, photos: Sequence[Loaded]) -> Iterator[Iterator[Segment]]:
        features = encode_fitted(self.model, [photo.fitted for photo in photos if photo.fitted is not None])
        prompts = [prompt for photo in photos for prompt in photo.prompts]
        images = [place for place, photo in enumerate(photos) for _ in photo.prompts]
        settings = self.settings
        rows = decode_rows(self.model, features, prompts, images, settings.prompts_per_call, settings.multimask)
        for photo in photos:
            yield (
                Segment.from_logits(restore(self.model, logits, photo.size), score)
                for logits, score in islice(rows, len(photo.prompts))
            )


class _InCuts:
    def __init__(self, model: HQSam, settings: Settings, margin: float) -> None:
        self.predictor = ZoomPredictor(model, margin, settings.batch_size, settings.multimask)

    def __call__(self, photos: Sequence[Loaded]) -> Iterator[Iterator[Segment]]:
        for photo in photos:
            assert photo.image is not None
            yield self.predictor.predict(photo.image, photo.objects)


class _InTiles:
    def __init__(self, model: HQSam, settings: Settings) -> None:
        assert settings.tile is not None
        self.predictor = TiledPredictor(
            model,
            settings.tile,
            settings.overlap,
            batch_size=settings.batch_size,
            prompts_per_call=settings.prompts_per_call,
            multimask_output=settings.multimask,
        )

    def __call__(self, photos: Sequence[Loaded]) -> Iterator[Iterator[Segment]]:
        for photo in photos:
            assert photo.image is not None
            yield iter(self.predictor.predict(photo.image, photo.objects))


class _Everything:
    def __init__(self, model: HQSam, settings: Settings) -> None:
        options = {**settings.automatic, "points_per_batch": settings.prompts_per_call}
        self.tiled = self.whole = None
        if settings.tile:
            self.tiled = TiledMaskGenerator(model, settings.tile, settings.overlap, **options)
        else:
            self.whole = SamAutomaticMaskGenerator(model, output_mode="coco_rle", **options)

    @torch.no_grad()
    def __call__(self, photos: Sequence[Loaded]) -> Iterator[Iterator[Segment]]:
        for photo in photos:
            assert photo.image is not None
            if self.tiled is not None:
                yield iter(self.tiled.generate(photo.image))
            elif self.whole is not None:
                records = self.whole.generate(photo.image)
                # one at a time: the masks of a large photo together take much memory
                yield (
                    Segment(rle.decode(record["segmentation"]).astype(bool), 0, 0, record["predicted_iou"])
                    for record in records
                )
