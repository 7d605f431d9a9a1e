"""The picture shows the masks where the first variant and plain SAM differ most."""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import WandbLogger

from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.escaping import printable
from hqsam_lightning.evaluation.table import make_table
from hqsam_lightning.metrics import Metric, mask_iou
from hqsam_lightning.train import train
from hqsam_lightning.training.callbacks.panels import ImagePanels, draw_panels, make_panel, save_panels
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.types import Batch, PromptGroup

METRICS = {"iou": Metric("mIoU", function=mask_iou), "mine": Metric("Mine", function=mask_iou)}
ROWS = [("sam", "sam"), ("first", "hq"), ("first", "sum"), ("second", "hq"), ("second", "sum")]


def make_batch(count: int) -> Batch:
    masks = torch.zeros(count, 30, 40, dtype=torch.bool)
    masks[:, 5:20, 5:30] = True
    return Batch(
        images=torch.full((count, 3, 64, 64), 128, dtype=torch.uint8),
        masks=torch.zeros(count, 1, 64, 64),
        image_index=torch.arange(count),
        prompts=[PromptGroup(torch.arange(count), boxes=torch.tensor([[8.0, 10.7, 46.4, 40.5]]).repeat(count, 1))],
        seeds=[0] * count,
        original_masks=list(masks),
        sample_ids=[],
        datasets=[],
    )


def make_panels(rules: dict[str, int], **options) -> ImagePanels:
    return ImagePanels(rules, "mine", **options)


def feed(panels: ImagePanels, masks: list[list], metrics: dict[str, Metric] = METRICS) -> None:
    heads = dict.fromkeys(name for name, _ in ROWS)
    scorer = SimpleNamespace(metrics=metrics, prompts=["box", "points"], frame=Stretch(64))
    output_of = {"sam": "sam"}
    module = mock.Mock(spec=HQSamModule, heads=heads, output_of=lambda name: output_of.get(name, "hq"), scorer=scorer)
    logits = {row: torch.ones(len(masks), 1, 16, 16) for row in ROWS}
    outputs = {"logits": logits, "scores": make_table([line for mask in masks for line in mask])}
    panels.on_validation_batch_end(SimpleNamespace(), module, outputs, make_batch(len(masks)), 0)


def scored(
    number: int, gain: float, dataset: str = "a", mask: int = 0, prompts: str = "box", name: str | None = None, **others
) -> list:
    """The first variant's HQ logits are `gain` above SAM by one metric; what is not shown differs by far more."""
    scores = {row: (0.9, 0.9) for row in ROWS}
    scores |= {("sam", "sam"): (0.5, 0.5), ("first", "hq"): (0.6, 0.5 + gain)}
    scores |= {(variant, "hq"): pair for variant, pair in others.items()}
    sample = name or f"{dataset}/{number}"
    return [
        ("run", *row, dataset, sample, mask, prompts, metric, value, 0.9, sample)
        for row, pair in scores.items()
        for metric, value in zip(METRICS, pair, strict=True)
    ]


def titles(panels: ImagePanels) -> list[str]:
    return [panel.title.splitlines()[0] for panel in panels.panels]


def test_the_most_different_masks_are_kept_whatever_the_batches() -> None:
    gains = [0.1, -0.4, 0.2, 0.0, 0.3, -0.05]
    masks = [scored(number, gain) for number, gain in enumerate(gains)]
    together, apart = make_panels({"difference": 3}), make_panels({"difference": 3})
    feed(together, masks)
    for mask in reversed(masks):
        feed(apart, [mask])
    assert titles(together) == titles(apart) == ["a/1", "a/4", "a/2"]


def test_equal_differences_are_ordered_by_id() -> None:
    panels = make_panels({"difference": 2})
    feed(panels, [scored(2, 0.25), scored(1, 0.25, mask=1), scored(1, 0.25), scored(0, 0.125)])
    assert [panel.title.splitlines()[:2] for panel in panels.panels] == [
        ["a/1", "mask 0, thin (0.90)"],
        ["a/1", "mask 1, thin (0.90)"],
    ]


def test_each_set_has_its_own() -> None:
    panels = make_panels({"difference": 1})
    feed(panels, [scored(0, 0.1), scored(1, 0.2), scored(0, 0.01, dataset="b")])
    assert titles(panels) == ["a/1", "b/0"]
    panels.on_validation_epoch_start(SimpleNamespace(), SimpleNamespace())
    assert panels.panels == []


def test_gains_losses_and_random_ones_have_their_own_places() -> None:
    masks = [scored(number, gain) for number, gain in enumerate([0.1, -0.4, 0.2, 0.0, 0.3, -0.05])]
    panels = make_panels({"gain": 2, "loss": 2})
    feed(panels, masks)
    assert titles(panels) == ["a/4", "a/2", "a/1", "a/5"]
    drawn = []
    for seed in range(20):
        panels = make_panels({"random": 2}, seed=seed)
        feed(panels, masks)
        again = make_panels({"random": 2}, seed=seed)
        feed(again, masks[::-1])
        assert titles(again) == titles(panels)
        drawn += titles(panels)
    assert set(drawn) == {f"a/{number}" for number in range(6)}


def test_another_variant_may_be_judged() -> None:
    masks = [scored(number, gain) for number, gain in enumerate([0.1, 0.3])]
    masks[0] = scored(0, 0.1, second=(0.9, 0.99))
    panels = make_panels({"gain": 1}, variant="second")
    feed(panels, masks)
    assert titles(panels) == ["a/0"]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("best", r"callbacks\.panels\.variant: expected one of hq, refiner; got 'best'"),
        ("refiner", r"expected a variant with an HQ token \(here: hq\), got refiner, a RefinerHead"),
    ],
)
def test_a_variant_that_cannot_be_judged_is_named_before_training(make_config, variant: str, message: str) -> None:
    config = make_config(
        *(
            "+experiment=figure6_attention",
            "setting=paper",
            "sam=tiny_random",
            "trainer=cpu",
            "data.train_size=4",
            "data.val_size=1",
        ),
        *("batch.total=4", "loader.num_workers=0", "~callbacks.progress_bar", "+head@variants.refiner=refiner"),
        f"+callbacks.panels.variant={variant}",
    )
    with pytest.raises(ConfigError, match=message):
        train(config)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ConfigError, match=r"callbacks\.panels\.rules: expected a mapping of difference, .*got {'best'"):
        make_panels({"best": 3})


def test_only_masks_with_the_main_prompts_are_shown() -> None:
    panels = make_panels({"gain": 2})
    feed(panels, [scored(0, 0.1), scored(0, 0.4, prompts="points"), scored(1, 0.2)])
    assert titles(panels) == ["a/1", "a/0"]


def test_where_less_is_better_a_gain_is_a_smaller_value() -> None:
    panels = make_panels({"gain": 1})
    feed(
        panels, [scored(0, 0.3), scored(1, -0.2)], {**METRICS, "mine": Metric("Mine", False, False, function=mask_iou)}
    )
    assert titles(panels) == ["a/1"]


def test_none_are_made_when_none_are_wanted() -> None:
    panels = make_panels({"difference": 0})
    feed(panels, [scored(0, 0.1)])
    assert panels.panels == []


def test_columns_say_their_scores(tmp_path: Path) -> None:
    panels = make_panels({"difference": 2})
    feed(panels, [scored(0, 0.25)])
    (panel,) = panels.panels
    assert list(panel.masks) == ["ground truth", "SAM", "first (HQ logits)", "second (HQ logits)"]
    shown = [axis.get_title() for axis in draw_panels(panels.panels).axes]
    assert shown[2:4] == ["SAM\niou 50.0, mine 50.0", "first (HQ logits)\niou 60.0, mine 75.0"]
    assert panel.image.shape == (30, 40, 3)
    np.testing.assert_allclose(panel.box, [5, 5, 29, 19], atol=0.1)
    assert panel.masks["ground truth"].sum() == pytest.approx(15 * 25)
    save_panels(panels.panels, tmp_path / "panels.png")
    assert (tmp_path / "panels.png").read_bytes().startswith(b"\x89PNG")


def test_ignored_pixels_are_hatched_over_every_mask_and_not_over_the_photo() -> None:
    batch = make_batch(2)
    ignore = torch.zeros(30, 40, dtype=torch.bool)
    ignore[20:] = True
    batch.original_ignore = [None, ignore]
    logits = {row: torch.ones(2, 1, 16, 16) for row in ROWS[:2]}
    scorer = SimpleNamespace(metrics=METRICS, frame=Stretch(64))
    plain, hidden = (make_panel(batch, row, logits, make_table(scored(row, 0.1)), scorer) for row in range(2))
    assert plain.ignore is None
    assert np.array_equal(hidden.ignore, ignore.numpy())
    drawn = [axis.images[0].get_array() for axis in draw_panels([plain, hidden]).axes]
    rows = np.reshape(drawn, (2, 4, 30, 40, 3))
    for column in range(4):
        differs = (rows[0, column] != rows[1, column]).any(axis=-1)
        assert differs[:20].sum() == 0
        assert differs[20:].all() == (column > 0)


NAMES = ["cost_$5_$10", r"$\frac{1}{", "a\nb\tc", "[red]写真[/]", "$$", r"\$x^2$"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(tmp_path: Path, name: str) -> None:
    panels = make_panels({"difference": 1})
    feed(panels, [scored(0, 0.25, name=name)])
    (panel,) = panels.panels
    panel.masks[printable(name)] = panel.masks.pop("first (HQ logits)")
    save_panels(panels.panels, tmp_path / "panels.png")
    assert (tmp_path / "panels.png").read_bytes().startswith(b"\x89PNG")
    axes = draw_panels(panels.panels).axes
    for axis in (axes[0], axes[-1]):
        text, is_math = axis.title._preprocess_math(axis.get_title())
        assert not is_math
        assert printable(name) in text


def test_a_panel_that_cannot_be_made_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    panels = make_panels({"difference": 2})
    panels.make = mock.Mock(side_effect=RuntimeError("out of memory"))  # type: ignore[method-assign]
    for number in range(3):
        feed(panels, [scored(number, 0.25)])
    assert caplog.text.count("making a panel, failed (RuntimeError: out of memory)") == 1
    assert panels.panels == []


def test_a_logger_that_takes_no_picture_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    panels = make_panels({"difference": 1})
    feed(panels, [scored(0, 0.25)])
    logger = mock.Mock(spec=WandbLogger)
    logger.log_image.side_effect = OSError("no space")
    panels.on_validation_epoch_end(SimpleNamespace(sanity_checking=False, loggers=[logger]), SimpleNamespace())
    assert logger.log_image.called
    assert "logging the panels, failed (OSError: no space)" in caplog.text
