"""Evaluating trained heads: the numbers are those of training and of the authors' package, however it is run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image
from torch.nn import functional as F

from benchmarks.authors import build_authors_model
from conftest import randomise
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.examples import EvaluationExamples
from hqsam_lightning.errors import CheckpointError, ConfigError, DataError, FinishedError, HQSamError, WeightsError
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.suites import MaskSuite
from hqsam_lightning.evaluation.table import read_table
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.runtime.signals import Stopped
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.train import train
from hqsam_lightning.types import Example, Prompt
from patience import PATIENCE
from reference import official_features, official_logits

TRAINING = (
    *(
        "sam=tiny_random",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "data.validation=null",
        "data.train_size=4",
        "data.val_size=3",
    ),
    *("batch.total=4", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar", "optimizer.lr=0.01"),
    *("+head@variants.tuned=tuned_token", "trainer.check_val_every_n_epoch=1", "frame=both", "augmentation=zoom"),
)

CLICKS = ["suite._target_=hqsam_lightning.evaluation.suites.ClickSuite"]


def composed(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose(name, overrides=list(overrides))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of seven photos of different sizes, some with two masks."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(7):
        size = (40 + 9 * number, 90 - 6 * number)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"images/{number:04d}.png")
        mask = np.zeros(size, np.uint8)
        mask[2 + number :, 8 : 40 + number] = 255
        Image.fromarray(mask).save(folder / f"masks/{number:04d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("evaluate") / "first"
    config = composed("train", *TRAINING, f"paths.output_dir={folder}")
    train(config)
    return SimpleNamespace(folder=folder, last=folder / "checkpoints" / "last.ckpt", config=config)


@pytest.fixture
def config_of(photos: Path, tmp_path: Path) -> Callable[..., DictConfig]:
    def make(*overrides: str, name: str = "out") -> DictConfig:
        own = ("suite=folder", f"paths.data_dir={photos}", "trainer=cpu", "loader.num_workers=0")
        return composed("evaluate", *own, f"paths.output_dir={tmp_path / name}", *overrides)

    return make


def same_values(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    keys = ["variant", "output", "dataset", "sample", "mask", "prompts", "metric"]
    first, second = (table.set_index(keys)["value"].sort_index() for table in (one, other))
    return first.equals(second)


@pytest.mark.parametrize("which", ["last", "best"])
def test_it_gives_the_scores_of_training(
    trained: SimpleNamespace, config_of: Callable[..., DictConfig], which: str
) -> None:
    """On the sets that the run was validated on; training ended with its only validation, so both are the last."""
    config = config_of(f"ckpt={trained.folder}", f"which={which}", "name=train", "frame=both")
    with open_dict(config):
        config.suite.sets = OmegaConf.to_container(trained.config.data, resolve=True)
    table, _ = evaluate(config)
    expected = read_table(trained.folder / "scores.csv")
    pd.testing.assert_frame_equal(table.reset_index(drop=True), expected, check_exact=True)
    assert same_values(read_table(Path(config.paths.output_dir) / "scores.csv"), expected)


@pytest.fixture(scope="module")
def official(tiny_sam: FrozenSam, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A whole model with random weights as the authors' package writes it."""
    head = HQHead(tiny_sam)
    randomise(head, seed=5)
    model = build_authors_model(tiny_sam, head)
    path = tmp_path_factory.mktemp("official") / "sam_hq_tiny.pth"
    torch.save(model.state_dict(), path)
    return SimpleNamespace(model=model, path=path)


def plain_iou(predicted: np.ndarray, mask: np.ndarray) -> float:
    union = (predicted | mask).sum()
    return float((predicted & mask).sum() / union) if union else 1.0


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels that erosions by 2 % of the diagonal take away, as in their code."""
    rounds = max(1, round(0.02 * float(np.hypot(*mask.shape))))
    inner = cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=rounds)
    return mask & (inner[1:-1, 1:-1] == 0)


def stretched(array: np.ndarray) -> torch.Tensor:
    planes = torch.from_numpy(array).permute(2, 0, 1)[None].float()
    return F.interpolate(planes, (64, 64), mode="bilinear", align_corners=False)


def test_an_official_file_gives_the_scores_of_the_authors_package(
    official: SimpleNamespace, photos: Path, config_of: Callable[..., DictConfig]
) -> None:
    """Image and mask stretched, the mask's box, one call per image, logits to the mask's size: their evaluation."""
    table, objects = evaluate(config_of(f"ckpt={official.path}", "sam=tiny_random"))
    assert list(objects["evaluation"].model.heads) == ["sam", "hq"]
    scores = table.set_index(["metric", "sample", "output"])["value"]
    found: dict[str, list[float]] = {"iou": [], "boundary_iou": []}
    for path in sorted((photos / "images").iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(photos / "masks" / path.name), cv2.IMREAD_GRAYSCALE)
        ys, xs = (stretched(mask[..., None])[0, 0] > 128).nonzero(as_tuple=True)
        box = torch.tensor([xs.min(), ys.min(), xs.max(), ys.max()]).float()
        pixels = stretched(image).to(torch.uint8)
        final, early = official_features(official.model, pixels)
        for output, hq_only in (("hq", True), ("sum", False)):
            logits, _ = official_logits(official.model, final, early, [Prompt(box=box)], False, hq_only)
            predicted = F.interpolate(logits, mask.shape, mode="bilinear", align_corners=False)[0, 0].numpy() > 0
            theirs = {
                "iou": plain_iou(predicted, mask > 128),
                "boundary_iou": plain_iou(plain_boundary(predicted), plain_boundary(mask > 128)),
            }
            for metric, value in theirs.items():
                assert scores[metric, f"folder/{path.stem}", output] == pytest.approx(value, abs=1e-6)
                found[metric].append(value)
    assert [len(values) for values in found.values()] == [14, 14]
    assert min(np.ptp(values) for values in found.values()) > 0.01


def test_the_authors_decoder_alone_needs_its_sam(
    official: SimpleNamespace, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    state = official.model.state_dict()
    names = [name for name in state if name.startswith("mask_decoder.")]
    path = tmp_path / "epoch_11.pth"
    torch.save({name.removeprefix("mask_decoder."): state[name] for name in names}, path)
    whole, _ = evaluate(config_of(f"ckpt={official.path}", "sam=tiny_random"))
    alone, _ = evaluate(config_of(f"ckpt={path}", "sam=tiny_random", f"sam.weights={official.path}", name="alone"))
    assert same_values(whole, alone)
    with pytest.raises(WeightsError, match=r"epoch_11\.pth: expected a head that was trained with the SAM in use"):
        evaluate(config_of(f"ckpt={path}", "sam=tiny_random", "sam.weights=random", name="other"))
    with pytest.raises(ConfigError, match=r"^sam: expected the SAM that .*epoch_11\.pth belongs to.*16 channels"):
        evaluate(config_of(f"ckpt={path}", name="unknown"))


def test_a_saved_folder_gives_the_scores_of_its_run(
    trained: SimpleNamespace, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    HQSam.from_pretrained(f"{trained.last}::hq").save_pretrained(tmp_path / "saved")
    run, _ = evaluate(config_of(f"ckpt={trained.last}::hq", name="run"))
    saved, _ = evaluate(config_of(f"ckpt={tmp_path / 'saved'}", name="again"))
    assert same_values(run, saved)


def test_the_shipped_head_is_scored_by_its_name(config_of: Callable[..., DictConfig]) -> None:
    table, _ = evaluate(config_of("ckpt=hq_nano"))
    assert set(zip(table["variant"], table["output"], strict=True)) == {("sam", "sam"), ("hq", "hq"), ("hq", "sum")}


def test_several_checkpoints_are_scored_at_once(trained: SimpleNamespace, config_of: Callable[..., DictConfig]) -> None:
    alone, _ = evaluate(config_of(f"ckpt={trained.last}::tuned", name="alone"))
    assert set(alone["variant"]) == {"sam", "tuned"}
    both, _ = evaluate(config_of(f"ckpt=[{trained.last}::tuned,{trained.last}]", name="both"))
    names = ["sam", "first/tuned", "first_2/hq", "first_2/tuned"]
    assert list(dict.fromkeys(both["variant"])) == names
    for name in names[1::2]:
        of_run = both[both["variant"].isin(["sam", name])].replace({"variant": {name: "tuned"}})
        assert same_values(of_run, alone)


def test_protocols_and_prompts_are_told_apart(trained: SimpleNamespace, config_of: Callable[..., DictConfig]) -> None:
    overrides = ("protocols=[stretch,pad]", "+prompts@val_prompts.deepest_point=deepest_point", f"ckpt={trained.last}")
    table, _ = evaluate(config_of(*overrides))
    assert list(dict.fromkeys(table["prompts"])) == ["box", "deepest_point", "box@pad", "deepest_point@pad"]
    values = table[(table["metric"] == "iou") & (table["output"] == "sam")].groupby("prompts")["value"].agg(tuple)
    assert len(set(values)) == 4


def test_photos_and_cuts_side_by_side_with_what_they_cost(
    trained: SimpleNamespace, config_of: Callable[..., DictConfig]
) -> None:
    noisy = "+prompts@val_prompts.noisy=noisy_box"
    config = config_of(f"ckpt={trained.last}", "frame=both", "margin=0.1", noisy, "evaluation.filled_box=true")
    table, _ = evaluate(config)
    assert list(dict.fromkeys(table["prompts"])) == ["box", "noisy", "box@zoom0.1", "noisy@zoom0.1"]
    whole, _ = evaluate(config_of(f"ckpt={trained.last}", noisy, "evaluation.filled_box=true", name="whole"))
    assert same_values(table[table["prompts"].isin(["box", "noisy"])], whole)
    written = json.loads((Path(config.paths.output_dir) / "metrics.json").read_text())
    frames = written["run"]["frames"]
    assert {name: cost["encoded_per_photo"] for name, cost in frames.items()} == {"stretch": 1, "stretch@zoom0.1": 2}
    assert min(cost["seconds_per_photo"] for cost in frames.values()) > 0
    assert "| stretch@zoom0.1 | 2.0 |" in (Path(config.paths.output_dir) / "results.md").read_text()


class Cut:
    """Stops the scoring at some batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int | None, action: Callable[[], Any]) -> None:
        self.images: list[str] = []
        score = MaskSuite.score

        def counted(suite: MaskSuite, setting: Any, batch: Any, model: Any) -> Any:
            if at is not None and len(self.images) >= at:
                action()
            self.images += dict.fromkeys(batch.sample_ids)
            return score(suite, setting, batch, model)

        monkeypatch.setattr(MaskSuite, "score", counted)


def kill() -> None:
    raise RuntimeError("killed")


@pytest.mark.parametrize(
    ("action", "error"), [(kill, RuntimeError), (lambda: signal.raise_signal(signal.SIGTERM), Stopped)]
)
def test_a_cut_evaluation_continues(
    config_of: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any], error: type
) -> None:
    overrides = ("sam=tiny_random", "batch_size=2", "save_every=0")
    expected, _ = evaluate(config_of(*overrides, name="whole"))
    with monkeypatch.context() as patch:
        first = Cut(patch, 4, action)
        with pytest.raises(error):
            evaluate(config_of(*overrides))
    with pytest.raises(ConfigError, match=r"expected the evaluation that began there; protocols: \['stretch'\] before"):
        evaluate(config_of(*overrides, "protocols=[pad]"))
    with monkeypatch.context() as patch:
        second = Cut(patch, None, kill)
        table, _ = evaluate(config_of(*overrides))
    assert sorted({*first.images, *second.images}) == [f"folder/{number:04d}" for number in range(7)]
    assert not {*first.images[:4]} & {*second.images}
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    with pytest.raises(FinishedError, match=r"metrics\.json is there, of a finished evaluation"):
        evaluate(config_of(*overrides))


def test_another_sam_is_refused(trained: SimpleNamespace, config_of: Callable[..., DictConfig], tmp_path: Path) -> None:
    """By the names and hashes of both."""
    with pytest.raises(CheckpointError, match=r"last\.ckpt::hq: .*on this SAM \(nano, .*were trained on tiny_random"):
        evaluate(config_of(f"ckpt={trained.last}", "sam=nano"))


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["ckpt=/nowhere/last.ckpt"], CheckpointError, r"/nowhere/last\.ckpt: expected a file"),
        (["ckpt=/nowhere/sam_hq.pth"], WeightsError, r"^/nowhere/sam_hq\.pth: expected a weights file, found none"),
        (["ckpt={last}::other"], ConfigError, r"^ckpt=.*expected one of hq, tuned; got 'other'"),
        (["ckpt=[1,2]"], ConfigError, r"^ckpt: expected a run, a file"),
        (["protocols=[stretch,bent]"], ConfigError, r"^protocols: expected a list of some of stretch, pad"),
        (["frame=all"], ConfigError, r"^frame: expected one of photo, box, both"),
        (["frame=box", "prompts@val_prompts.box=points"], ConfigError, r"^frame: expected photo where prompts have no"),
        ([*CLICKS, "frame=both"], ConfigError, r"^frame: expected photo for a suite .*, ClickSuite; got both"),
        (["which=worst"], ConfigError, r"^which: expected one of best, last"),
        (["paths.data_dir=/nowhere"], DataError, r"^problems with the data in /nowhere"),
        (["paths.data_dir=/nowhere"], DataError, r"write suite\.sets\.KEY where this names data\.KEY$"),
        (["suite.sets.val_sources=[]"], ConfigError, r"^data\.sources: expected at least one of folder"),
        (["ckpt={run}"], CheckpointError, r"best/VARIANT\.ckpt; found checkpoints/last\.ckpt; set which=last, or name"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    trained: SimpleNamespace,
    config_of: Callable[..., DictConfig],
    tmp_path: Path,
    overrides: list[str],
    error: type[HQSamError],
    message: str,
) -> None:
    without_best = tmp_path / "cut"
    (without_best / "checkpoints").mkdir(parents=True)
    (without_best / "checkpoints" / "last.ckpt").symlink_to(trained.last)
    places = {"last": trained.last, "run": without_best}
    with pytest.raises(error, match=message):
        evaluate(config_of("sam=tiny_random", *(text.format(**places) for text in overrides)))


def test_a_suite_without_photos_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^suite\.sets: expected at least one photo with masks to score"):
        MaskSuite({})


SUITE = '''
"""A suite of one's own: it lives outside the package."""

import numpy as np

from hqsam_lightning.evaluation.suites import MaskSuite
from hqsam_lightning.types import Identity, Sample


class Squares:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        mask = np.zeros((1, 40, 50), np.float32)
        mask[:, 10:30, 10 : 20 + index] = 1
        return Sample(np.full((40, 50, 3), 90, np.uint8), mask, f"squares/{index}", "squares")

    def identify(self, index):
        return Identity(f"squares/{index}", "squares", str(index))


class SquareSuite(MaskSuite):
    def __init__(self):
        super().__init__({"squares": Squares()})
'''


def test_a_suite_of_ones_own_lives_outside_the_package(tmp_path: Path) -> None:
    """Two files: a module and its config."""
    (tmp_path / "my_suite.py").write_text(SUITE)
    (tmp_path / "conf" / "suite").mkdir(parents=True)
    (tmp_path / "conf" / "suite" / "squares.yaml").write_text("_target_: my_suite.SquareSuite\n")
    command = [sys.executable, "-m", "hqsam_lightning.evaluate", "--config-dir", "conf", "suite=squares"]
    command += ["sam=tiny_random", "trainer=cpu", "loader.num_workers=0", "hydra.run.dir=out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "squares: mIoU / mBIoU in percent" in done.stdout
    assert "squares" in (tmp_path / "out" / "results.md").read_text()
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    assert {record["dataset"] for record in scores} == {"squares"}
    assert {record["masks"] for record in scores if record["group_of_objects"] == "all"} == {3}


@pytest.fixture
def broken_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photo 3 breaks once the evaluation has begun."""
    read = EvaluationExamples.__getitem__

    def broken(examples: EvaluationExamples, index: int) -> Example:
        if index == 3:
            raise DataError("images/0003.png: expected a whole image file")
        return read(examples, index)

    monkeypatch.setattr(EvaluationExamples, "__getitem__", broken)


def test_a_photo_that_cannot_be_read_is_left_out_and_named(
    broken_photo: None, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^1 of 7 images left out: .*\n.*images/0003\.png"):
        evaluate(config_of("sam=tiny_random", "batch_size=2"))
    samples = sorted(set(read_table(tmp_path / "out" / "scores.csv")["sample"]))
    assert samples == [f"folder/{number:04d}" for number in (0, 1, 2, 4, 5, 6)]
    run = json.loads((tmp_path / "out" / "metrics.json").read_text())["run"]
    assert run["data"] == "folder 6 images"
    assert run["left_out"].startswith("1 of 7 images: images/0003.png")


def test_a_strict_evaluation_ends_at_a_photo_that_cannot_be_read(
    broken_photo: None, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^images/0003\.png"):
        evaluate(config_of("sam=tiny_random", "strict=true"))
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_chunks_of_prompts_give_the_same_scores(config_of: Callable[..., DictConfig]) -> None:
    together, _ = evaluate(config_of("sam=tiny_random", "batch_size=4", name="together"))
    apart, _ = evaluate(config_of("sam=tiny_random", "batch_size=4", "masks_at_once=1"))
    pd.testing.assert_frame_equal(together, apart, atol=1e-3)
