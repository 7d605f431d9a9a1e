"""Masks of everything in an image, with the options of segment-anything's `SamAutomaticMaskGenerator`."""

from __future__ import annotations

from typing import Any

import numpy as np
from faster_coco_eval import mask as run_lengths
from segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator as PublishedGenerator
from segment_anything.utils.amg import MaskData
from torch import Tensor

from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.predictor import SamPredictor

COCO_RLE = "coco_rle"
MOST_LOGITS = 2**28
"""Of all masks of one call of the decoder, at the photo's size: 1 GiB, unless one point's three masks have more."""


class SamAutomaticMaskGenerator(PublishedGenerator):
    """segment-anything's generator over any `HQSam`, with the same options.

    Each mask is chosen by SAM's prediction of its IoU. Filters and non-maximum suppression run on the CPU: the
    published generator mixes devices there. ``output_mode="coco_rle"`` needs no pycocotools. Large photos
    get fewer points a call, by `MOST_LOGITS`.

    Args:
        model: any `HQSam`.
        options: of `segment_anything.SamAutomaticMaskGenerator`.
    """

    def __init__(self, model: HQSam, *args: Any, output_mode: str = "binary_mask", **options: Any) -> None:
        self._encodes = output_mode == COCO_RLE
        super().__init__(
            model.sam.sam, *args, output_mode="uncompressed_rle" if self._encodes else output_mode, **options
        )
        self.predictor = SamPredictor(model)

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Finds masks.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            A record for each mask, see segment-anything: segmentation, area, bbox (xywh), predicted_iou,
            point_coords, stability_score, crop_box (xywh).
        """
        records = super().generate(image)
        if self._encodes:
            for record in records:
                encoded = run_lengths.frPyObjects(record["segmentation"], *record["segmentation"]["size"])
                record["segmentation"] = {**encoded, "counts": encoded["counts"].decode()}
        return records

    def _process_crop(self, *args: Any) -> MaskData:
        data = super()._process_crop(*args)
        # the published generator fails where a crop has no mask: none is then of the shape (0,)
        data["crop_boxes"] = data["crop_boxes"].reshape(-1, 4)
        return data

    def _process_batch(self, points: np.ndarray, im_size: tuple[int, ...], *args: Any) -> MaskData:
        at_once = max(1, MOST_LOGITS // (3 * im_size[0] * im_size[1]))
        data = MaskData()
        for start in range(0, len(points), at_once):
            data.cat(super()._process_batch(points[start : start + at_once], im_size, *args))
        for name, value in data.items():
            if isinstance(value, Tensor):
                data[name] = value.cpu()
        return data
