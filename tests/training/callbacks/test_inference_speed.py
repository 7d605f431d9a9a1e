"""The costs of inference that a run with the callback measures."""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from hydra.utils import instantiate

from hqsam_lightning.train import train
from hqsam_lightning.training.callbacks.inference_speed import InferenceSpeed, one_box

SMALL = ("sam=tiny_random", "trainer=cpu", "trainer.max_steps=1", "data.train_size=4", "data.val_size=1")


def test_each_method_is_timed(make_config) -> None:
    config = make_config(
        "+experiment=table1_cost",
        "setting=paper",
        *SMALL,
        *("batch.total=4", "loader.num_workers=0", "~callbacks.progress_bar", "+callbacks.speed.rounds=2"),
        *("+head@variants.lora=lora", "+head@variants.refiner=refiner", "+head@variants.tuned=tuned_decoder"),
    )
    _, objects = train(config)
    run = json.loads((Path(config.paths.output_dir) / "metrics.json").read_text())["run"]
    assert set(run["inference"]) == {"sam", "hq", "lora", "refiner", "tuned"}
    assert all(set(costs) == {"images_per_second"} for costs in run["inference"].values())
    assert all(costs["images_per_second"] > 0 for costs in run["inference"].values())
    module = objects["module"]
    sam = sum(value.numel() for value in module.sam.parameters())
    added = run["trainable_parameters"]
    assert run["total_parameters"] == {name: sam + added[name] for name in ("sam", "hq", "lora", "refiner")} | {
        "tuned": sam
    }
    assert added["tuned"] > 0


def test_what_is_timed_is_one_mask(make_config) -> None:
    sam = instantiate(make_config("sam=tiny_random").sam)
    batch = one_box(sam.image_size, sam.device)
    features, (prompts,) = sam.features(batch.pixels), sam.encode_prompts(batch.prompts, batch.image_index)
    assert features.image_embeddings.shape[0] == prompts.sparse.shape[0] == 1
    assert batch.prompts[0].boxes.tolist() == [[sam.image_size * share for share in (0.25, 0.25, 0.75, 0.75)]]
    assert batch.mask_weights().item() == pytest.approx(1)


def test_timing_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    module = mock.Mock(training=True)
    module.eval.side_effect = torch.cuda.OutOfMemoryError("no memory")
    speed = InferenceSpeed(rounds=1)
    speed.on_train_end(SimpleNamespace(is_global_zero=True), module)
    assert "callbacks.speed, timing inference, failed (OutOfMemoryError: no memory)" in caplog.text
    module.train.assert_called_with(True)
    assert speed.costs == {}
