"""+experiment=own_photos: photos are scored by heads that did not see them; models take the output that was chosen."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import compose_train
from hqsam_lightning.data.collate import collate
from hqsam_lightning.evaluation.table import differences
from hqsam_lightning.heads.base import predictions
from hqsam_lightning.inference import HQSam
from hqsam_lightning.metrics import mask_iou
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import INFO_KEY, AtomicCheckpointIO, read_checkpoint

PHOTOS = 8
RECIPE = (
    *("+experiment=own_photos", "sam=tiny_random", "folds=4", "batch.total=4", "trainer.val_check_interval=2"),
    *("loader.num_workers=0", "loss.num_points=64", "~callbacks.progress_bar", "~callbacks.panels"),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 + number : 30, 10 : 25 + number] = 255
        image = rng.integers(0, 120, (40, 50, 3), np.uint8) + mask[..., None] // 2
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def run(folder: Path, photos: Path, *overrides: str) -> SimpleNamespace:
    _, objects = train(compose_train(folder, *RECIPE, f"paths.data_dir={photos}", *overrides))
    return SimpleNamespace(folder=folder, **objects)


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return run(tmp_path_factory.mktemp("own") / "run", photos, "trainer.max_steps=4")


def test_each_photo_is_scored_by_the_head_that_did_not_see_it(finished: SimpleNamespace) -> None:
    module = finished.module
    scores = module.scores[(module.scores["output"] == "hq") & (module.scores["metric"] == "iou")]
    found = dict(zip(scores["sample"], scores["value"], strict=True))
    assert len(found) == PHOTOS
    (examples,) = finished.datamodule.validation
    for number in range(PHOTOS):
        batch = collate([examples[number]])
        head = module.fold_heads.heads[f"hq/{number // 2}"]
        with torch.no_grad():
            ((_, logits),) = predictions(module.sam, {"hq": head}, batch)
        mask = module.scorer.frame.restore(logits.hq[0], batch.original_masks[0].shape)
        expected = mask_iou(mask, batch.original_masks[0][None]).item()
        assert found[f"folder/{number}"] == pytest.approx(expected, abs=1e-6)


def test_a_head_learns_nothing_from_its_own_part(finished: SimpleNamespace) -> None:
    module, training = finished.module, finished.datamodule.training
    losses = module.losses(collate([training[0, number, 0] for number in (2, 3)]))
    assert list(losses) == ["hq", "hq/0", "hq/1", "hq/2", "hq/3"]
    for name, head in module.learning.items():
        gradients = torch.autograd.grad(losses[name]["loss"], list(head.learned.values()))
        assert any(gradient.abs().max() > 0 for gradient in gradients) == (name != "hq/1"), name


def test_the_choice_and_its_reason_are_written(finished: SimpleNamespace) -> None:
    best = json.loads((finished.folder / "metrics.json").read_text())["best"]["hq"]
    checkpoint = read_checkpoint(finished.folder / "checkpoints" / "best" / "hq.ckpt")
    assert checkpoint[INFO_KEY]["output"] == best["output"]
    assert all(key.startswith("variants.hq.") for key in checkpoint["state_dict"])
    gains = differences(finished.callbacks["best"].best["hq"].table)
    of_all = gains[(gains["group_of_objects"] == "all") & (gains["metric"] == "boundary_iou")]
    assert best["verdict"].startswith(
        "hq is worth using, with " if best["output"] != "sam" else "hq is not worth using"
    )
    assert f"tested on {PHOTOS} photos" in best["verdict"]
    shown = of_all if best["output"] == "sam" else of_all[of_all["output"] == best["output"]]
    assert all(f"{100 * gain:+.1f} mBIoU [" in best["verdict"] for gain in shown["mean"])
    assert best["verdict"] in (finished.folder / "results.md").read_text().replace("\\", "")
    model = HQSam.from_pretrained(finished.folder)
    assert (model.output, model.is_plain_sam) == (best["output"], best["output"] == "sam")


@pytest.mark.parametrize("output", ["sam", "sum", "hq"])
def test_models_take_the_chosen_output(finished: SimpleNamespace, tmp_path: Path, output: str) -> None:
    file = tmp_path / "checkpoints" / "best" / "hq.ckpt"
    file.parent.mkdir(parents=True)
    AtomicCheckpointIO().save_checkpoint(finished.module.variant_checkpoint("hq", output), file)
    for place in (tmp_path, file):
        model = HQSam.from_pretrained(place)
        assert (model.output, model.is_plain_sam) == (output, output == "sam")
        for wanted in ("sam", "sum", "hq"):
            model = HQSam.from_pretrained(place, output=wanted)
            assert (model.output, model.is_plain_sam) == (wanted, wanted == "sam")


def test_a_resumed_run_ends_with_the_same_heads(finished: SimpleNamespace, photos: Path, tmp_path: Path) -> None:
    before = run(tmp_path / "before", photos, "trainer.max_steps=3", "trainer.val_check_interval=1")
    last = before.folder / "checkpoints" / "last.ckpt"
    after = run(tmp_path / "after", photos, "trainer.max_steps=4", f"ckpt_path={last}")
    expected, found = finished.module.trainable_state, after.module.trainable_state
    assert len(expected) == 5 * len(finished.module.heads["hq"].learned)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    saved = read_checkpoint(after.folder / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in expected.items())
