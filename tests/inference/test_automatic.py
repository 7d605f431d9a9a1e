"""Automatic masks are those of segment-anything's generator."""

from typing import Any

import numpy as np
import pytest
import segment_anything
from faster_coco_eval import mask as run_lengths
from torch import Tensor

from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam, SamAutomaticMaskGenerator, automatic
from hqsam_lightning.sam import FrozenSam

EVERYTHING = {
    "points_per_side": 4,
    "pred_iou_thresh": -100.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.9,
    "crop_n_layers": 1,
    "crop_nms_thresh": 0.9,
}


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize("output_mode", ["binary_mask", "uncompressed_rle", "coco_rle"])
def test_plain_sam_gives_the_published_records(tiny_sam: FrozenSam, output_mode: str) -> None:
    ours = SamAutomaticMaskGenerator(HQSam(tiny_sam), **EVERYTHING, output_mode=output_mode).generate(photo())
    theirs = segment_anything.SamAutomaticMaskGenerator(tiny_sam.sam, **EVERYTHING).generate(photo())
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        for key in ("area", "bbox", "point_coords", "crop_box"):
            assert one[key] == other[key]
        assert one["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-5)
        found = one["segmentation"]
        if output_mode == "coco_rle":
            assert isinstance(found["counts"], str)
            found = run_lengths.decode(found).astype(bool)
        if output_mode != "uncompressed_rle":
            assert np.array_equal(found, other["segmentation"])


def test_large_photos_get_fewer_points_a_call(tiny_sam: FrozenSam, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are the same, and no call's logits are more than the limit."""
    plain = SamAutomaticMaskGenerator(HQSam(tiny_sam), **EVERYTHING).generate(photo())
    monkeypatch.setattr(automatic, "MOST_LOGITS", 3 * 40 * 56 * 5)
    generator = SamAutomaticMaskGenerator(HQSam(tiny_sam), **EVERYTHING)
    sizes: list[int] = []
    predict = generator.predictor.predict_torch

    def counted(*args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
        found = predict(*args, **options)
        sizes.append(found[0].numel())
        return found

    monkeypatch.setattr(generator.predictor, "predict_torch", counted)
    records = generator.generate(photo())
    assert max(sizes) == 3 * 40 * 56 * 5
    assert [each["bbox"] for each in records] == [each["bbox"] for each in plain]
    assert all(np.array_equal(a["segmentation"], b["segmentation"]) for a, b in zip(records, plain, strict=True))


def test_small_regions_go_and_a_head_takes_part(tiny_sam: FrozenSam) -> None:
    options = {**EVERYTHING, "crop_n_layers": 0}
    plain = SamAutomaticMaskGenerator(HQSam(tiny_sam), **options).generate(photo())
    head = SamAutomaticMaskGenerator(HQSam(tiny_sam, HQHead(tiny_sam)), **options, min_mask_region_area=20)
    records = head.generate(photo())
    assert records
    assert all(record["area"] >= 20 for record in records)
    assert [record["area"] for record in records] != [record["area"] for record in plain]


def test_crops_without_a_mask_are_no_error(tiny_sam: FrozenSam) -> None:
    """The published generator raises IndexError."""
    nothing = {**EVERYTHING, "pred_iou_thresh": 100.0}
    assert SamAutomaticMaskGenerator(HQSam(tiny_sam), **nothing).generate(photo()) == []
