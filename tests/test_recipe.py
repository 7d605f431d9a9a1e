"""What makes two runs the same: neither places, devices, speed nor names, but all that results follow from."""

from pathlib import Path
from typing import Any

import pytest

from hqsam_lightning.config import as_plain
from hqsam_lightning.data import DataSets
from hqsam_lightning.recipe import differences, recipe_of, steps_of

SHA = "ab" * 32


def of_any_folder(clips: Path, number: int = 1) -> DataSets:
    """A data set of someone's own: a path by its annotation alone."""
    raise NotImplementedError


OWN_DATA = {"_target_": f"{__name__}.of_any_folder", "clips": "/here", "number": 1}


@pytest.fixture
def recipe(make_config):
    def of(*overrides: str, **changed: Any) -> dict[str, Any]:
        config = as_plain(make_config(*overrides)) | changed
        return recipe_of(config, SHA, {"train": {}, "validation": {}})

    return of


@pytest.mark.parametrize(
    "override",
    [
        "paths.data_dir=/elsewhere",
        "paths.output_dir=/elsewhere",
        "cache=/elsewhere",
        "sam.weights=/elsewhere.pth",
        "sam.cache_dir=/elsewhere",
        "trainer=ddp",
        "trainer.devices=2",
        "trainer.num_nodes=2",
        "trainer.log_every_n_steps=1",
        "+trainer.deterministic=true",
        "batch.max_per_device=1",
        "sequential_backward=true",
        "+sam.attention=eager",
        "loader.num_workers=0",
        "process.loader_niceness=3",
        "name=another",
        "logger=wandb",
        "callbacks.panels.rules={difference:2}",
        "callbacks.last.every_n_steps=2",
        "~callbacks.learning_rate",
        "ckpt_path=/elsewhere.ckpt",
        "resume=never",
    ],
)
def test_where_how_fast_and_under_what_name_does_not_matter(recipe, override: str) -> None:
    assert recipe(override) == recipe()


@pytest.mark.parametrize(
    "override",
    [
        "seed=7",
        "batch.total=8",
        "optimizer.lr=0.1",
        "scheduler.gamma=0.5",
        "data.train_size=9",
        "augmentations_per_image=3",
        "augmentation=flip",
        "loss.dice_weight=2",
        "prompts=box",
        "variants.hq.features=[decoder]",
        "variants.hq.weights=/elsewhere.pth",
        "+head@variants.tuned=tuned_decoder",
        "+variant_losses.hq=${loss}",
        "sam.precision=bf16",
        "+trainer.gradient_clip_val=1.0",
    ],
)
def test_what_the_steps_follow_from_matters(recipe, override: str) -> None:
    assert steps_of(recipe(override)) != steps_of(recipe())


@pytest.mark.parametrize(
    "override",
    [
        "trainer.max_epochs=3",
        "trainer.max_steps=3",
        "evaluation.output=sum",
        "callbacks.best.metric=iou",
        "prompts@val_prompts.box=points",
        "+callbacks.early={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/hq/iou}",
        "+callbacks.mine={_target_:my_project.callbacks.Freeze}",
    ],
)
def test_length_and_scoring_change_results_but_no_step(recipe, override: str) -> None:
    assert recipe(override) != recipe()
    assert steps_of(recipe(override)) == steps_of(recipe())


def test_the_path_of_data_of_ones_own_does_not_matter(recipe) -> None:
    own = recipe(data=OWN_DATA)
    assert recipe(data={**OWN_DATA, "clips": "/moved"}) == own
    assert recipe(data={**OWN_DATA, "number": 2}) != own


@pytest.mark.parametrize("data", ["folder", "coco", "sa1b", "hqseg44k", "sa1b_hqseg44k", "synthetic_and_ecssd"])
def test_a_moved_folder_does_not_matter(recipe, data: str) -> None:
    moved = recipe(f"data={data}", "paths.data_dir=/elsewhere")
    assert moved == recipe(f"data={data}")
    assert not [key for key, value in moved.items() if "/elsewhere" in str(value)]


def test_a_file_in_the_runs_folder_does_not_matter(recipe) -> None:
    """Whatever the type of the key; a folder that only begins like it does."""
    note = "+callbacks.note={{_target_:my_project.Note,file:'{}/note.txt'}}"
    here, there = (recipe(f"paths.output_dir=/{name}", note.format(f"/{name}")) for name in ("here", "there"))
    assert here == there
    assert here != recipe("paths.output_dir=/here", note.format("/here_too"))


def test_content_of_data_and_weights_matters(make_config) -> None:
    config = as_plain(make_config())
    facts = {"count": 4, "names": "n", "content": "c"}
    before, now = (
        recipe_of(config, sha, {"train": {"photos": {**facts, "content": content}}, "validation": {}})
        for sha, content in (("a" * 64, "c"), ("b" * 64, "d"))
    )
    assert differences(before, before) == []
    assert differences(before, now) == [
        "train set photos: the same 4 names, but files of other content",
        f"sam.sha256: {'a' * 64} before, {'b' * 64} now",
    ]


def test_without_a_hash_the_weights_count_as_written(make_config) -> None:
    """Pretraining changes its SAM: what it began with is known by the key alone."""
    first, second = (recipe_of(as_plain(make_config(f"sam.weights={each}"))) for each in ("random", "/a/file.pth"))
    assert differences(first, second) == ["sam.weights: random before, /a/file.pth now"]


def test_what_a_variant_begins_from_counts_by_its_content(make_config) -> None:
    here, there = (as_plain(make_config(f"variants.hq.weights={each}")) for each in ("/here.pth", "/there.pth"))
    as_written = differences(recipe_of(here), recipe_of(there))
    assert as_written == ["variants.hq.weights: /here.pth before, /there.pth now"]
    first = recipe_of(here, begun_from={"hq": "a" * 64})
    assert recipe_of(there, begun_from={"hq": "a" * 64}) == first
    changed = recipe_of(here, begun_from={"hq": "b" * 64})
    assert differences(first, changed) == [f"variants.hq.weights: {'a' * 64} before, {'b' * 64} now"]
