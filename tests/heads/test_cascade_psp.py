"""CascadePSP behind SAM, against its authors' package called by hand; its weights are random here."""

from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch
from segmentation_refinement import Refiner
from segmentation_refinement.models.psp.pspnet import RefinementModule

from head_examples import IMAGE_INDEX, predict, two_images
from hqsam_lightning.errors import WeightsError
from hqsam_lightning.heads import CascadePspHead, SamHead
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.train import train

ROWS = [0, 1, 4]
SMALL = (
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_steps=1",
    "data.validation=null",
    "data.train_size=4",
    "data.val_size=1",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the authors' package fills it: a state dict of a DataParallel model."""
    folder = tmp_path_factory.mktemp("cascade_psp")
    torch.manual_seed(0)
    state = {f"module.{key}": value for key, value in RefinementModule().state_dict().items()}
    torch.save(state, folder / "model")
    return folder


@pytest.fixture(autouse=True)
def small_working_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors enlarge every image to 900 px, which takes a CPU many seconds."""
    monkeypatch.setattr(Refiner, "refine", partialmethod(Refiner.refine, L=96))


def test_refines_sams_masks(tiny_sam: FrozenSam, weights: Path) -> None:
    images = two_images(tiny_sam)
    features = tiny_sam.encode(images)
    logits = predict(CascadePspHead(tiny_sam, str(weights)), tiny_sam, features, ROWS)
    plain = predict(SamHead(), tiny_sam, features, ROWS)
    torch.testing.assert_close(logits.sam, plain.sam)
    refiner = Refiner(model_folder=str(weights), download_and_check_model=False)
    for place, row in enumerate(ROWS):
        image = images[IMAGE_INDEX[row]].permute(1, 2, 0).numpy()
        mask = torch.nn.functional.interpolate(plain.sam[place][None], image.shape[:2], mode="bilinear")[0, 0] > 0
        expected = refiner.refine(image, mask.numpy().astype(np.uint8) * 255, fast=False)
        shares = torch.sigmoid(logits.hq[place, 0]).numpy()
        np.testing.assert_allclose(shares * 255, expected, atol=0.1)


def test_is_scored_beside_what_learns(make_config, weights: Path) -> None:
    small = (*SMALL, "batch.total=4", "loader.num_workers=0", "~callbacks.progress_bar")
    brought = ("+head@variants.cascade_psp=cascade_psp", f"variants.cascade_psp.weights={weights}")
    means, objects = train(make_config("+experiment=table4_finetuning", *small, *brought))
    assert objects["trainer"].global_step == 1
    assert ("cascade_psp", "hq") in set(zip(means["variant"], means["output"], strict=True))
    assert not any("cascade_psp" in key for key in objects["module"].trainable_state)


def test_missing_weights_are_named(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected a folder with CascadePSP's file 'model', found none"):
        CascadePspHead(tiny_sam, str(tmp_path))


def rewrite(folder: Path, content: object) -> str:
    torch.save(content, folder / "model")
    return str(folder)


def test_code_in_the_file_is_not_run(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    for content in (Evil(), {"module.w": Evil()}, [Evil()]):
        with pytest.raises(WeightsError, match=r"model: cannot be read .* holds more than tensors"):
            CascadePspHead(tiny_sam, rewrite(tmp_path, content))
    assert not (tmp_path / "ran").exists()


def test_a_file_of_another_model_is_named(tiny_sam: FrozenSam, weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights / "model", weights_only=True)
    first = next(iter(state))
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    for content, named in (
        (bare, "whose names begin with 'module.'"),
        ({name: value for name, value in state.items() if name != first}, rf"1 are missing.*first: {first}"),
        ({**state, first: state[first][:1]}, rf"first: {first}"),
        ({**state, first: state[first] * float("nan")}, rf"{first}: expected finite weights"),
        ({"model": state}, "a dict under 'model'"),
    ):
        with pytest.raises(WeightsError, match=named):
            CascadePspHead(tiny_sam, rewrite(tmp_path, content))


def test_a_damaged_file_is_named(tiny_sam: FrozenSam, weights: Path, tmp_path: Path) -> None:
    content = bytearray((weights / "model").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model: cannot be read \(BadZipFile\)"):
        CascadePspHead(tiny_sam, str(tmp_path))
