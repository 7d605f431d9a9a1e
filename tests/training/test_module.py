"""Variants side by side, frozen SAM, checkpoints that hold the trainable state alone."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from conftest import compose_train
from hqsam_lightning.errors import CheckpointError, ConfigError, DivergedError
from hqsam_lightning.evaluation.table import as_records
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import INFO_KEY, read_checkpoint, require_finite

TINY = (
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.train_size=8",
    "data.val_size=3",
    "batch.total=4",
    "loader.num_workers=0",
    "loss.num_points=64",
    "~callbacks.progress_bar",
)


@pytest.fixture
def run(make_config, tmp_path: Path):
    def run_training(*overrides: str, name: str = "run"):
        kept = [text for text in TINY if not ("data=folder" in overrides and text.startswith("data."))]
        return train(make_config(*kept, f"paths.output_dir={tmp_path / name}", *overrides))

    return run_training


def finished_in(folder: Path, *overrides: str) -> SimpleNamespace:
    means, objects = train(compose_train(folder, *TINY, *overrides))
    return SimpleNamespace(folder=folder, last=folder / "checkpoints" / "last.ckpt", means=means, objects=objects)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run that tests look at, and do not change."""
    return finished_in(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Likewise, of seven variants."""
    return finished_in(tmp_path_factory.mktemp("ablation") / "run", "+experiment=ablate_features")


def states(objects) -> dict[str, dict[str, torch.Tensor]]:
    variants = objects["module"].variants
    return {name: {k: v.clone() for k, v in head.state_dict().items()} for name, head in variants.items()}


def test_a_variant_trained_beside_others_ends_as_if_alone(ablation: SimpleNamespace, finished: SimpleNamespace) -> None:
    full, trained = states(ablation.objects)["decoder_final_early"], states(finished.objects)["hq"]
    assert full.keys() == trained.keys()
    assert all(torch.equal(full[key], trained[key]) for key in full)


def test_backward_in_turn_gives_the_same_weights(run) -> None:
    """Each variant's graph is gone before the next is made, and the step is the same bit for bit."""
    recipe = ("+head@variants.other=hq", "variants.other.features=[decoder]", "batch.max_per_device=2")
    _, together = run(*recipe, name="together")
    _, in_turn = run(*recipe, "sequential_backward=true", name="in_turn")
    for name, state in states(together).items():
        assert all(torch.equal(state[key], states(in_turn)[name][key]) for key in state)


def test_the_table_has_a_row_for_each_variant_and_output(ablation: SimpleNamespace) -> None:
    means, objects = ablation.means, ablation.objects
    variants = list(objects["module"].variants)
    assert len(variants) == 1 + 7
    expected = [("sam", "sam")] + [(name, output) for name in variants[1:] for output in ("hq", "sum")]
    assert list(means[["variant", "output"]].drop_duplicates().itertuples(index=False, name=None)) == expected
    written = json.loads((ablation.folder / "metrics.json").read_text())
    assert written["scores"] == as_records(means)
    assert written["run"]["sam_sha256"] == objects["module"].sam.weights_sha256
    text = (ablation.folder / "results.md").read_text()
    assert all(f"| {name} |" in text for name in variants)
    assert (ablation.folder / "results.png").read_bytes().startswith(b"\x89PNG")


def test_each_variant_has_its_own_best_checkpoint(run, tmp_path: Path) -> None:
    """Chosen by its own score: the same weights and scores as of the variant trained alone."""
    recipe = (
        "trainer.max_epochs=3",
        "+head@variants.other=hq",
        "variants.other.features=[decoder]",
        "variants.other.fusion=none",
    )
    run(*recipe, name="together")
    run("trainer.max_epochs=3", name="alone")
    best = tmp_path / "together" / "checkpoints" / "best"
    assert {path.name for path in best.iterdir()} == {"hq.ckpt", "hq.json", "other.ckpt", "other.json"}
    together, alone = (
        read_checkpoint(tmp_path / name / "checkpoints" / "best" / "hq.ckpt") for name in ("together", "alone")
    )
    assert together["global_step"] == alone["global_step"]
    assert together["state_dict"].keys() == alone["state_dict"].keys()
    assert all(torch.equal(value, together["state_dict"][key]) for key, value in alone["state_dict"].items())
    assert {key.split(".")[1] for key in read_checkpoint(best / "other.ckpt")["state_dict"]} == {"other"}
    with pytest.raises(CheckpointError, match="holds the weights of one variant alone"):
        run(*recipe, f"ckpt_path={best / 'hq.ckpt'}", name="resumed")


def test_several_prompts_are_named_in_what_is_logged(run) -> None:
    _, objects = run("+prompts@val_prompts.points=points", "evaluation.filled_box=true")
    logged = {key for key in objects["trainer"].logged_metrics if key.startswith("val/synthetic/")}
    for prompts in ("box", "points"):
        for row in ("sam/sam", "hq/hq", "hq/sum", "box/box"):
            assert {f"val/synthetic/{prompts}/{row}/{metric}" for metric in ("iou", "boundary_iou")} <= logged
    table = objects["module"].scores
    main = table[(table["prompts"] == "box") & (table["variant"] == "hq") & (table["output"] == "hq")]
    means = main.groupby("metric")["value"].mean().to_dict()
    assert objects["module"].objectives == {"hq": pytest.approx(means)}


def test_validation_shows_boxes_the_photo_around_them(run, tmp_path: Path) -> None:
    """Cuts alone, which the pictures and the tokens' attention then are of; with points there is nothing to cut."""
    _, objects = run("+experiment=figure6_attention", "frame=box", "margin=0.5")
    module, (panels,) = objects["module"], [each for name, each in objects["callbacks"].items() if name == "panels"]
    assert set(module.scores["prompts"]) == {"box@zoom0.5"}
    assert module.objectives["hq"]["iou"] > 0
    assert {panel.image.shape for panel in panels.panels} == {(64, 64, 3)}
    assert (tmp_path / "run" / "results.png").is_file()
    with pytest.raises(ConfigError, match=r"^frame: expected photo .* no box, as val_prompts\.box, which draws points"):
        run("prompts@val_prompts.box=points", "frame=both", name="points")


def test_the_tables_means_are_those_of_the_score_file(run, tmp_path: Path) -> None:
    """By plain arithmetic on the file's own columns, for all, thin and solid objects."""
    means, objects = run("data.val_size=6")
    with (tmp_path / "run" / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    groups = {"all": (0, 1), "thin": (0.2000001, 1), "solid": (0, 0.2)}
    for row in means.to_dict("records"):
        low, high = groups[row["group_of_objects"]]
        chosen = [
            float(line["value"])
            for line in lines
            if all(line[key] == row[key] for key in ("variant", "output", "dataset", "prompts", "metric"))
            and low <= float(line["thinness"]) <= high
        ]
        assert row["masks"] == len(chosen)
        assert row["mean"] == pytest.approx(sum(chosen) / len(chosen), abs=1e-12)
    assert len(lines) == 3 * 2 * means["masks"].max() > 3 * 2 * 6
    logged = objects["trainer"].logged_metrics
    of_all = means[means["group_of_objects"] == "all"].set_index(["output", "metric"])["mean"]
    assert logged["val/synthetic/hq/sum/iou"] == pytest.approx(of_all["sum", "iou"])
    assert logged["val/hq/boundary_iou"] == pytest.approx(of_all["hq", "boundary_iou"])


def test_only_the_variants_learn(run, finished: SimpleNamespace) -> None:
    objects = finished.objects
    module = objects["module"]
    assert not module.sam.training
    assert all(not p.requires_grad and p.grad is None for p in module.sam.parameters())
    optimised = [p for group in module.optimizers().param_groups for p in group["params"]]
    assert {id(p) for p in optimised} == {id(p) for p in module.variants.parameters()}
    _, untrained = run("optimizer.lr=1e-30", name="untrained")
    before, after = states(untrained)["hq"], states(objects)["hq"]
    assert all(not torch.equal(before[key], after[key]) for key in before)
    fresh = untrained["module"].sam.state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in module.sam.state_dict().items())


def test_checkpoints_hold_the_trainable_state_and_what_it_belongs_to(finished: SimpleNamespace) -> None:
    module = finished.objects["module"]
    for name in ("best/hq", "last"):
        checkpoint = read_checkpoint(finished.folder / "checkpoints" / f"{name}.ckpt")
        assert set(checkpoint["state_dict"]) == {f"variants.hq.{key}" for key in module.variants["hq"].state_dict()}
        info = checkpoint[INFO_KEY]
        assert info["sam_sha256"] == module.sam.weights_sha256
        assert info["config"]["batch"]["total"] == 4
        assert type(info["config"]) is dict


def test_accumulated_passes_make_the_same_step(run) -> None:
    sgd = ["optimizer._target_=torch.optim.SGD", "~optimizer.betas", "optimizer.lr=0.1", "data.objects=[1,2]"]
    _, whole = run(*sgd, "batch.max_per_device=4", "trainer.max_steps=1", name="whole")
    _, parts = run(*sgd, "batch.max_per_device=1", "trainer.max_steps=1", name="parts")
    _, untrained = run(*sgd, "optimizer.lr=1e-30", "trainer.max_steps=1", name="untrained")
    assert parts["trainer"].accumulate_grad_batches == 4
    assert whole["trainer"].global_step == parts["trainer"].global_step == 1
    a, b, start = (states(objects)["hq"] for objects in (whole, parts, untrained))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(a[key], start[key]) for key in a)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sam.encoder.embed_dim=24"], r"sam\.encoder\.embed_dim: 16 before, 24 now"),
        (["head@variants.other=hq"], r"variants\.other\._target_: None before, hqsam_lightning\.heads\.HQHead now"),
        (["variants.hq.features=[decoder]"], r"variants\.hq\.features: .* before, \['decoder'\] now"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    run, finished: SimpleNamespace, tmp_path: Path, overrides: list[str], message: str
) -> None:
    before = finished.last.read_bytes()
    overrides = [f"+{text}" if text.startswith("head@") else text for text in overrides]
    with pytest.raises(CheckpointError, match=message):
        run(f"ckpt_path={finished.last}", *overrides, name="resumed")
    assert finished.last.read_bytes() == before
    assert not (tmp_path / "resumed" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=1e-5", r"optimizer\.lr: 0\.001 before, 1e-05 now"),
        ("batch.total=2", r"batch\.total: 4 before, 2 now"),
        ("data.train_size=9", r"data\.train_size: 8 before, 9 now"),
        ("seed=7", r"seed: 42 before, 7 now"),
    ],
)
def test_a_changed_recipe_is_not_resumed(run, finished: SimpleNamespace, override: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        run(f"ckpt_path={finished.last}", override, name="resumed")


def test_a_run_goes_on_in_its_own_folder_alone(run, tmp_path: Path) -> None:
    run()
    run(name="other")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match="expected a folder without a run"):
        run(f"ckpt_path={checkpoint}", name="other")
    _, objects = run(f"ckpt_path={checkpoint}", "trainer.max_epochs=2")
    assert objects["trainer"].global_step == 4
    assert {path.name for path in (tmp_path / "run" / "csv").iterdir()} == {"version_0", "version_1"}


def test_without_a_validation_set_nothing_is_scored(run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "photos"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (40, 30), (90, 20, 30)).save(folder / "images" / f"{number}.jpg")
        Image.new("L", (40, 30), 255).save(folder / "masks" / f"{number}.png")
    photos = ["data=folder", f"paths.data_dir={folder}", "data.holdout=0"]
    rows, _ = run(*photos)
    assert rows.empty
    assert "no validation set: nothing was scored" in caplog.text


def test_a_truncated_checkpoint_is_refused(run, finished: SimpleNamespace, tmp_path: Path) -> None:
    whole = finished.last.read_bytes()
    damaged = tmp_path / "damaged.ckpt"
    for size in (0, 100, len(whole) // 2, len(whole) - 10):
        damaged.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"damaged\.ckpt.*damaged or of another kind"):
            run(f"ckpt_path={damaged}", name="resumed")
    with pytest.raises(CheckpointError, match=r"absent\.ckpt: expected a file, cannot find it"):
        run(f"ckpt_path={tmp_path / 'absent.ckpt'}", name="resumed")


def test_an_earlier_run_is_not_overwritten(finished: SimpleNamespace) -> None:
    kept = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    with pytest.raises(
        ConfigError, match=r"expected a folder without a run; .*metrics\.json is there, of a finished run"
    ):
        finished_in(finished.folder)
    assert {path: path.read_bytes() for path in kept} == kept


def test_weights_that_are_not_finite_are_not_saved() -> None:
    with pytest.raises(CheckpointError, match="b: expected finite weights"):
        require_finite({"a": torch.zeros(2), "b": torch.tensor([1.0, float("nan")])})


def test_a_loss_that_is_not_finite_stops_the_run(run, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"step 2 \(epoch 0\).*the first that are NaN or infinite are") as caught:
        run("optimizer.lr=1e30", "trainer.max_epochs=3", "trainer.log_every_n_steps=1")
    assert "no checkpoint was written" in str(caught.value)
    assert "samples of the step: synthetic/" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.variant=other"], "evaluation.variant: expected one of hq; got 'other'"),
        (["evaluation.metric=other"], "evaluation.metric: expected one of boundary_iou, iou; got 'other'"),
        (["evaluation.filled_box=true", "+head@variants.box=hq"], "variants.box: expected another name"),
        (["evaluation.output=both"], "evaluation.output: expected one of hq, sum; got 'both'"),
        (["+head@variants.sam=hq"], "variants.sam: expected another name"),
        (["~variants.hq"], "variants: expected at least one head; got {}"),
        (["batch.total=100"], "batch.total: expected at most the 8 training samples of an epoch; got 100"),
        (["batch.total=0"], "batch.total: expected an integer >= 1; got 0"),
        (["sam.precision=fp8"], "sam.precision: expected one of fp32, bf16, fp16; got 'fp8'"),
        (["variants.hq.fusion=add"], "variants.hq.fusion: expected one of none, conv, fpn; got 'add'"),
    ],
)
def test_values_that_cannot_work_are_named(run, overrides: list[str], message: str) -> None:
    from hydra.errors import InstantiationException

    with pytest.raises((ConfigError, InstantiationException), match=message):
        run(*overrides)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision_is_the_encoders_alone(run, precision: str) -> None:
    _, objects = run(f"sam.precision={precision}", "trainer.limit_train_batches=1")
    module, batch = objects["module"], next(iter(objects["datamodule"].val_dataloader()[0]))
    features = module.sam.encode(batch.images)
    assert features.image_embeddings.dtype == features.early.dtype == torch.float32
    module.sam.precision = "fp32"
    exact = module.sam.encode(batch.images).image_embeddings
    error = (features.image_embeddings - exact).abs().max() / exact.abs().max()
    assert 0 < error < 0.05
    assert all(p.dtype == torch.float32 for p in module.parameters())
