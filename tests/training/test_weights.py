"""What a run or a file has learned is found, checked against SAM, and put into other heads."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir

import hqsam_lightning
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import CheckpointError, ConfigError, HQSamError, WeightsError
from hqsam_lightning.heads.official import to_official
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import read_checkpoint
from hqsam_lightning.training.weights import open_weights

TINY = (
    *(
        "setting=paper",
        "sam=tiny_random",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "data.train_size=2",
        "data.val_size=1",
    ),
    *("batch.total=2", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar"),
)
TWO = ("+head@variants.tuned=tuned_token", "variants.hq.features=[decoder]")


def run(folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", overrides=[*TINY, f"paths.output_dir={folder}", *overrides])
    objects = train(config)[1]
    return {key: value.clone() for key, value in objects["module"].trainable_state.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("weights") / "first"
    state = run(folder, *TWO)
    return SimpleNamespace(folder=folder, last=folder / "checkpoints" / "last.ckpt", state=state)


def started(folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    """The weights that a run begins with."""
    return run(folder, "optimizer.lr=1e-30", *overrides)


@pytest.mark.parametrize("place", ["{last}::hq"])
def test_a_run_begins_from_another_runs_variant(trained: SimpleNamespace, tmp_path: Path, place: str) -> None:
    where = place.format(last=trained.last, folder=trained.folder)
    state = started(tmp_path / "run", "variants.hq.features=[decoder]", f"variants.hq.weights='{where}'")
    assert state.keys() == {key for key in trained.state if key.startswith("variants.hq.")}
    assert all(torch.allclose(value, trained.state[key], rtol=0, atol=1e-25) for key, value in state.items())
    fresh = started(tmp_path / "fresh", "variants.hq.features=[decoder]")
    assert not all(torch.equal(value, fresh[key]) for key, value in state.items())


def test_a_variant_may_have_another_name(trained: SimpleNamespace, tmp_path: Path) -> None:
    overrides = ("+head@variants.again=tuned_token", f"variants.again.weights='{trained.last}::tuned'", "~variants.hq")
    state = started(tmp_path / "run", *overrides)
    assert state
    for key, value in state.items():
        assert torch.allclose(value, trained.state[key.replace(".again.", ".tuned.")], rtol=0, atol=1e-25)


def test_a_resumed_run_does_not_begin_again(trained: SimpleNamespace, tmp_path: Path) -> None:
    """Nor does it need the file that it began from."""
    first = tmp_path / "first.ckpt"
    shutil.copyfile(trained.last, first)
    overrides = ("variants.hq.features=[decoder]", f"variants.hq.weights='{first}::hq'")
    run(tmp_path / "run", *overrides)
    first.unlink()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    info = read_checkpoint(last)["hqsam_lightning"]
    assert info["begun_from"] == {"hq": open_weights(str(trained.last), "ckpt")[0].identity["hq"]}
    before = torch.load(last, weights_only=True)["state_dict"]
    after = run(tmp_path / "run", *overrides, f"ckpt_path={last}", "trainer.max_epochs=2", "optimizer.lr=1e-3")
    assert any(not torch.equal(value, before[key]) for key, value in after.items())


def test_a_run_is_resumed_where_what_it_began_from_has_moved_but_not_with_another(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    """The file counts by its content."""
    moved, other = tmp_path / "moved.ckpt", tmp_path / "other"
    run(other, "variants.hq.features=[decoder]", "seed=7")
    narrow = "variants.hq.features=[decoder]"
    run(tmp_path / "run", narrow, f"variants.hq.weights='{trained.last}::hq'")
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())["run"]
    assert list(facts["begun_from"]) == ["hq"]
    longer = (narrow, f"ckpt_path={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}", "trainer.max_epochs=2")
    shutil.copyfile(trained.last, moved)
    run(tmp_path / "run", *longer, f"variants.hq.weights='{moved}::hq'")
    with pytest.raises(CheckpointError, match=r"variants\.hq\.weights: \w{64} before, \w{64} now"):
        run(tmp_path / "run", *longer, f"variants.hq.weights={other}")


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("{last}", ConfigError, r"^variants\.hq\.weights=.*::VARIANT: expected one of hq, tuned"),
        ("{last}::other", ConfigError, r"^variants\.hq\.weights=.*expected one of hq, tuned; got 'other'"),
        ("{folder}/gone", WeightsError, r"gone: expected a weights file, found none; set variants\.hq\.weights"),
        ("{folder}/gone.ckpt", CheckpointError, r"gone\.ckpt: expected a file"),
        ("{folder}/.hydra", CheckpointError, r"expected the folder of a run with .*found no checkpoint"),
        ("{last}::tuned", CheckpointError, r"last\.ckpt::tuned: .*expected the trainable weights"),
    ],
)
def test_what_cannot_be_begun_from_is_refused(
    trained: SimpleNamespace, tmp_path: Path, where: str, error: type[HQSamError], message: str
) -> None:
    (trained.folder / ".hydra").mkdir(exist_ok=True)
    where = where.format(last=trained.last, folder=trained.folder)
    with pytest.raises(error, match=message):
        run(tmp_path / "run", f"variants.hq.weights='{where}'")


def test_another_sam_is_refused(trained: SimpleNamespace, tmp_path: Path) -> None:
    """By the names and hashes of both."""
    path = tmp_path / "sam.pth"
    module = hqsam_lightning.load_run(trained.last)
    state = module.sam.sam.state_dict()
    key = "mask_decoder.iou_token.weight"
    torch.save({**state, key: state[key] + 1}, path)
    own = module.sam.weights_sha256[:12]
    overrides = (f"sam.weights={path}", f"variants.hq.weights='{trained.last}::hq'", "variants.hq.features=[decoder]")
    with pytest.raises(CheckpointError, match=rf"last\.ckpt::hq: .*tiny_random, weights \w+.*tiny_random.*{own}"):
        run(tmp_path / "run", *overrides)


def test_the_authors_decoder_alone_is_enough(trained: SimpleNamespace, tmp_path: Path) -> None:
    """As their training script saves it: the decoder of SAM with the HQ parts in it."""
    sam = hqsam_lightning.load_run(trained.last).sam
    wide = run(tmp_path / "wide", "seed=7")
    hq = {key.removeprefix("variants.hq."): value for key, value in wide.items()}
    decoder = {**sam.mask_decoder.state_dict(), **to_official(hq)}
    decoder = {key.removeprefix("mask_decoder."): value for key, value in decoder.items()}
    path = tmp_path / "epoch_11.pth"
    torch.save(decoder, path)
    state = started(tmp_path / "run", f"variants.hq.weights={path}")
    assert all(torch.allclose(value, wide[key], rtol=0, atol=1e-25) for key, value in state.items())
    weights, variant = open_weights(str(path), "ckpt")
    assert (weights.variants, variant) == (["hq"], None)


def test_a_file_without_an_hq_head_is_refused(trained: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(hqsam_lightning.load_run(trained.last).sam.sam.state_dict(), path)
    with pytest.raises(WeightsError, match=r"^ckpt=.*sam\.pth: expected a file with the parameters of an HQ head"):
        open_weights(str(path), "ckpt")


def test_load_run_takes_one_variant(trained: SimpleNamespace) -> None:
    module = hqsam_lightning.load_run(f"{trained.last}::tuned")
    assert list(module.heads) == ["sam", "tuned"]
    assert all(torch.equal(value, trained.state[key]) for key, value in module.trainable_state.items())
