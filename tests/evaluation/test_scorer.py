"""Masks are scored at their image's own size, one line per row and metric, and counted once."""

from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation import scorer as scorer_module
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.metrics import Metric, boundary_f, boundary_iou, mask_iou
from hqsam_lightning.types import Batch, PromptGroup

ROWS = [("sam", "sam"), ("hq", "hq")]


def make_scorer(datasets: list[str], ratio: float = 0.02, **options) -> Scorer:
    metrics = {
        "iou": Metric("mIoU", function=mask_iou),
        "boundary_iou": Metric("mBIoU", function=partial(boundary_iou, dilation_ratio=ratio)),
    }
    return Scorer(metrics, datasets, options.pop("prompts", ["box"]), Stretch(64), **options)


def make_batch(sizes: list[tuple[int, int]], datasets: list[str], sample_ids: list[str] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(len(sizes))
    masks = [torch.rand(size, generator=generator) > 0.5 for size in sizes]
    count = len(sizes)
    return Batch(
        images=torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        masks=torch.zeros(count, 1, 64, 64),
        image_index=torch.zeros(count, dtype=torch.int64),
        prompts=[],
        seeds=[0] * count,
        original_masks=masks,
        sample_ids=sample_ids or [f"a/{row}" for row in range(count)],
        datasets=datasets,
        prompt_names=["box"] * count,
    )


def make_logits(count: int) -> dict[tuple[str, str], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {row: torch.randn(count, 1, 16, 16, generator=generator) for row in ROWS}


def values_of(table: pd.DataFrame) -> np.ndarray:
    """(masks, rows, metrics) values."""
    return table["value"].to_numpy().reshape(-1, len(ROWS), 2)


def test_scores_are_of_each_masks_own_size() -> None:
    scorer = make_scorer(["a", "b", "empty"], 0.05, run="mine")
    batch, logits = make_batch([(30, 47), (64, 12), (9, 9)], ["a", "a", "b"]), make_logits(3)
    returned = scorer.update(batch, logits)
    table = scorer.compute()
    pd.testing.assert_frame_equal(table, returned)
    assert set(table["run"]) == {"mine"}
    lines = table[["dataset", "variant", "output", "metric"]].to_numpy().tolist()
    assert lines[:4] == [["a", *row, metric] for row in ROWS for metric in ("iou", "boundary_iou")]
    for truth, scores in zip(batch.original_masks or [], values_of(table), strict=True):
        place = [mask is truth for mask in batch.original_masks or []].index(True)
        for row, (iou, biou) in zip(ROWS, scores, strict=True):
            logit = logits[row][place : place + 1]
            predicted = F.interpolate(logit, tuple(truth.shape), mode="bilinear")[0, 0] > 0
            assert iou == pytest.approx(float((predicted & truth).sum() / (predicted | truth).sum()))
            assert biou == float(boundary_iou(predicted[None], truth[None], dilation_ratio=0.05))
    assert scorer.compute().empty, "computing begins anew"


def test_masks_are_in_the_order_of_sets_prompts_images_and_masks_and_once() -> None:
    scorer = make_scorer(["b", "a"], prompts=["points", "box"])
    ids = ["a/1", "a/0", "a/0", "b/7", "a/0"]
    batch = make_batch([(9, 9)] * 5, ["a", "a", "a", "b", "a"], ids)
    batch.prompt_names = ["box", "box", "box", "box", "points"]
    scorer.update(batch, make_logits(5))
    scorer.update(batch, make_logits(5))
    table = scorer.compute()
    assert len(table) == 5 * 2 * 2, "samples that several processes had count once"
    masks = table[["dataset", "prompts", "sample", "mask"]].drop_duplicates().to_numpy().tolist()
    expected = [("b", "box", "b/7", 0), ("a", "points", "a/0", 0)]
    expected += [("a", "box", "a/0", 0), ("a", "box", "a/0", 1), ("a", "box", "a/1", 0)]
    assert masks == [list(mask) for mask in expected]


def test_thinness_is_measured_once_per_mask_however_it_is_prompted() -> None:
    batch = make_batch([(40, 40)] * 3, ["a"] * 3, ["a/0", "a/0", "a/0"])
    solid, thin = torch.ones(40, 40, dtype=torch.bool), torch.eye(40) > 0
    batch.original_masks, batch.prompt_names = [solid, thin, solid], ["box", "box", "points"]
    with mock.patch.object(scorer_module, "thinness", wraps=scorer_module.thinness) as measured:
        table = make_scorer(["a"], prompts=["box", "points"]).update(batch, make_logits(3))
    assert measured.call_count == 2
    assert (table["thinness"].iloc[::4] > 0.2).tolist() == [False, True, False]


def test_a_metric_is_called_once_per_mask_with_all_rows() -> None:
    seen = []

    def mine(pred: torch.Tensor, target: torch.Tensor, ignore: torch.Tensor | None) -> torch.Tensor:
        seen.append((tuple(pred.shape), tuple(target.shape), ignore))
        return pred.flatten(1).sum(1) / 7

    scorer = Scorer({"mine": Metric("Mine", function=mine, percent=False)}, ["a"], ["box"], Stretch(64))
    logits = {row: torch.full((2, 1, 4, 4), sign) for row, sign in zip(ROWS, (1.0, -1.0), strict=True)}
    table = scorer.update(make_batch([(3, 5), (6, 2)], ["a", "a"]), logits)
    assert seen == [((2, 3, 5), (1, 3, 5), None), ((2, 6, 2), (1, 6, 2), None)]
    assert table["value"].tolist() == pytest.approx([15 / 7, 0, 12 / 7, 0])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda pred: pred.float().mean(), r"metrics\.mine: expected .* value for each of 2 predictions; got \(\)"),
        (
            lambda pred: torch.full((2,), torch.nan),
            r"metrics\.mine: expected a finite value .*got nan for mask 0 of a/0",
        ),
    ],
)
def test_a_metric_that_gives_something_else_is_named(result, message: str) -> None:
    scorer = Scorer(
        {"mine": Metric("Mine", function=lambda pred, target, ignore: result(pred))}, ["a"], ["box"], Stretch(64)
    )
    with pytest.raises(ConfigError, match=message):
        scorer.update(make_batch([(8, 8)], ["a"]), make_logits(1))


def test_the_box_is_a_baseline() -> None:
    """Its prompt's box, which is (16, 32) to (47, 63) of a frame of 64, filled; or the box around the true mask."""
    batch = make_batch([(16, 24), (16, 24)], ["a", "a"])
    batch.prompts = [
        PromptGroup(torch.tensor([1]), boxes=torch.tensor([[16.0, 32.0, 47.0, 63.0]])),
        PromptGroup(torch.tensor([0]), point_coords=torch.zeros(1, 1, 2), point_labels=torch.ones(1, 1)),
    ]
    around, filled = torch.zeros(16, 24, dtype=torch.bool), torch.zeros(16, 24, dtype=torch.bool)
    around[3:7, 5:10] = True
    filled[8:16, 6:18] = True
    cross = torch.zeros(16, 24, dtype=torch.bool)
    cross[3:7, 5] = cross[4, 5:10] = True
    batch.original_masks = [cross, filled]
    table = make_scorer(["a"], filled_box=True).update(batch, make_logits(2))
    box = table[(table["variant"] == "box") & (table["output"] == "box") & (table["metric"] == "iou")]
    assert box["value"].tolist() == [8 / 20, 1.0]


def test_the_unit_of_the_bootstrap_may_be_a_clip() -> None:
    batch = make_batch([(9, 9)] * 2, ["a"] * 2, ["a/clip_1/7", "a/clip_2/7"])
    assert set(make_scorer(["a"]).update(batch, make_logits(2))["group"]) == {"a/clip_1/7", "a/clip_2/7"}
    table = make_scorer(["a"], group="^[^/]+/[^/]+").update(batch, make_logits(2))
    assert set(table["group"]) == {"a/clip_1", "a/clip_2"}
    with pytest.raises(ConfigError, match=r"evaluation\.group: .*got 'patient', which does not in 'a/clip_1/7'"):
        make_scorer(["a"], group="patient").update(batch, make_logits(2))
    with pytest.raises(ConfigError, match=r"evaluation\.group: expected a regular expression; got '\('"):
        make_scorer(["a"], group="(")


def test_a_training_batch_cannot_be_scored() -> None:
    batch = make_batch([(8, 8)], ["a"])
    batch.original_masks = None
    with pytest.raises(ValueError, match="expected a batch with original_masks"):
        make_scorer(["a"]).update(batch, make_logits(1))


@pytest.mark.parametrize("ratio", [0.02, 0.05, 0.1])
def test_ignored_pixels_are_not_scored(ratio: float) -> None:
    """Masks with and without ignored pixels in one batch, against the functions of one mask."""
    batch, logits = make_batch([(30, 47), (64, 12), (40, 40)], ["a"] * 3), make_logits(3)
    assert batch.original_masks is not None
    ignore = [torch.rand(mask.shape, generator=torch.manual_seed(7)) < 0.3 for mask in batch.original_masks]
    plain = values_of(make_scorer(["a"], ratio).update(batch, logits))
    batch.original_ignore = [ignore[0], None, ignore[2]]
    scored = values_of(make_scorer(["a"], ratio).update(batch, logits))
    assert (scored[1] == plain[1]).all()
    for place in (0, 2):
        truth, hidden = batch.original_masks[place], ignore[place]
        for number, row in enumerate(ROWS):
            predicted = F.interpolate(logits[row][place : place + 1], tuple(truth.shape), mode="bilinear")[0, 0] > 0
            known = [(mask & ~hidden).numpy() for mask in (predicted, truth)]
            iou = (known[0] & known[1]).sum() / (known[0] | known[1]).sum()
            biou = boundary_iou(predicted[None], truth[None], hidden[None], ratio)
            assert scored[place, number].tolist() == [pytest.approx(iou), pytest.approx(float(biou))]
            assert (scored[place, number] != plain[place, number]).all()


def test_scores_do_not_depend_on_what_is_predicted_where_it_is_ignored() -> None:
    batch, logits = make_batch([(64, 64)] * 2, ["a"] * 2), make_logits(2)
    ignore = torch.zeros(64, 64, dtype=torch.bool)
    ignore[:, 20:] = True
    batch.original_ignore = [ignore, ignore]
    other = {row: values.clone() for row, values in logits.items()}
    for values in other.values():
        values[..., 6:] *= -1  # a logit reaches four pixels of the photo and half of those beside
    metrics = {"iou": mask_iou, "boundary_iou": boundary_iou, "boundary_f": boundary_f}
    scorer = Scorer(
        {name: Metric(name, function=function) for name, function in metrics.items()}, ["a"], ["box"], Stretch(64)
    )
    pd.testing.assert_frame_equal(scorer.update(batch, logits), scorer.update(batch, other))
