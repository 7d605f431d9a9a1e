"""Graphs: ONNX Runtime and torch.export's programs predict what the model predicts, for any number of everything."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from conftest import randomise
from head_examples import make_prompts
from hqsam_lightning.errors import ConfigError, ExportError
from hqsam_lightning.export import export_model
from hqsam_lightning.export.graphs import decoder_inputs
from hqsam_lightning.export.onnx_files import Int8
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.types import Prompt, PromptGroup

PROMPTS = make_prompts()
BOX, MASK = Prompt(box=PROMPTS[1].box), PROMPTS[0].mask
KINDS = {
    "box": [BOX, PROMPTS[3]],
    "a point": [PROMPTS[6]],
    "points": [PROMPTS[2], PROMPTS[5]],
    "mask": [PROMPTS[0], PROMPTS[4]],
    "box and points": [Prompt(box=BOX.box, point_coords=PROMPTS[2].point_coords, point_labels=PROMPTS[2].point_labels)],
    "box and mask": [Prompt(box=BOX.box, mask=MASK)],
}


@pytest.fixture(autouse=True, scope="module")
def quiet_trace() -> Iterator[None]:
    """Else torch formats a message for pytest for each tensor that it traces."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    yield
    logging.disable(before)


def nano_with_head() -> HQSam:
    plain = HQSam.from_pretrained("nano")
    head = HQHead(plain.sam)
    randomise(head, seed=3)
    return HQSam(plain.sam, head, origin=plain.origin)


@pytest.fixture(scope="module")
def model() -> HQSam:
    return nano_with_head()


@pytest.fixture(scope="module")
def folder(model: HQSam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs") / "onnx"
    exported = export_model(model, "onnx", folder)
    assert 0 < exported.error <= 1e-5
    return folder


def run(path: Path, *inputs: Tensor | np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    names = [given.name for given in session.get_inputs()]
    return session.run(None, {name: np.asarray(value) for name, value in zip(names, inputs, strict=True)})


def close(ours: np.ndarray, theirs: Tensor) -> None:
    assert ours.shape == tuple(theirs.shape)
    assert np.abs(ours - theirs.numpy()).max() <= 1e-5 * float(theirs.abs().max())


def images(model: HQSam, count: int) -> Tensor:
    size = (count, 3, model.image_size, model.image_size)
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(count)).float()


def in_frame(model: HQSam, prompts: list[Prompt]) -> PromptGroup:
    """The prompts of the 64 x 64 frame, in the model's; masks enlarged."""
    (group,) = group_prompts(prompts)
    side = model.sam.mask_input_size
    masks = None if group.masks is None else torch.nn.functional.interpolate(group.masks, side)
    return PromptGroup(group.rows, group.boxes, group.point_coords, group.point_labels, masks)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", list(KINDS))
def test_onnx_runtime_gives_the_models_logits(model: HQSam, folder: Path, kind: str, count: int) -> None:
    """Each prompt on every image: N is 1 to 8, B is 1 or 4."""
    frames = images(model, count)
    features = model.encode(frames)
    embeddings, early = run(folder / "encoder.onnx", frames)
    close(embeddings, features.image_embeddings)
    close(early, features.early)
    group = in_frame(model, KINDS[kind] * count)
    index = torch.arange(count).repeat_interleave(len(KINDS[kind]))
    logits, iou = run(
        folder / "decoder.onnx", embeddings, early, *decoder_inputs(group, index, model.sam.mask_input_size)
    )
    expected = model.decode(features, [group], index)
    close(logits, expected[0])
    close(iou, expected[1])


def test_masks_are_given_to_some_prompts_alone(model: HQSam, folder: Path) -> None:
    features = model.encode(images(model, 1))
    index = torch.zeros(2, dtype=torch.int64)
    group = in_frame(model, [Prompt(box=BOX.box, mask=MASK)] * 2)
    inputs = list(decoder_inputs(group, index, model.sam.mask_input_size))
    inputs[-1] = torch.tensor([1.0, 0.0])
    logits, _ = run(folder / "decoder.onnx", features.image_embeddings, features.early, *inputs)
    without = PromptGroup(group.rows, boxes=group.boxes)
    for row, each in enumerate((group, without)):
        close(logits[row], model.decode(features, [each], index)[0][row])


def test_the_files_say_what_a_caller_needs(model: HQSam, folder: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(folder / name)
        onnx.checker.check_model(graph)
        facts = json.loads({each.key: each.value for each in graph.metadata_props}["hqsam_lightning"])
        assert facts["image_size"] == 256
        assert facts["output"] == "sum"
        assert facts["sam_sha256"] == model.sam.weights_sha256


def test_programs_give_three_masks(tiny_sam_model: HQSam, tmp_path: Path) -> None:
    model = tiny_sam_model
    assert export_model(model, "pt2", tmp_path / "programs", multimask_output=True).error <= 1e-6
    encoder, decoder = (torch.export.load(tmp_path / "programs" / f"{n}.pt2").module() for n in ("encoder", "decoder"))
    frames = images(model, 1)
    group, index = in_frame(model, KINDS["a point"]), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        logits, iou = decoder(*encoder(frames), *decoder_inputs(group, index, model.sam.mask_input_size))
    expected = model.decode(model.encode(frames), [group], index, multimask_output=True)
    assert logits.shape[1] == 3
    close(logits.numpy(), expected[0])
    close(iou.numpy(), expected[1])


def test_int8_is_a_fraction_of_the_size_and_loses_little(folder: Path, tmp_path: Path) -> None:
    exported = export_model(HQSam.from_pretrained("nano"), "int8", tmp_path / "int8", scenes=8)
    assert exported.iou is not None
    before, after = exported.iou
    assert before > 0.5, "a model without masks would lose none"
    assert before - after <= 0.01
    assert exported.error > 1e-4, "nothing was quantised"
    sizes = [(place / "encoder.onnx").stat().st_size for place in (tmp_path / "int8", folder)]
    assert sizes[0] < 0.6 * sizes[1]
    assert sorted(path.name for path in (tmp_path / "int8").iterdir()) == ["decoder.onnx", "encoder.onnx"]


def test_int8_masks_below_the_limit_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = torch.full((1, 1, 64, 64), -1.0)
    monkeypatch.setattr(Int8, "write", lambda self, model, out, multimask_output: out.mkdir())
    monkeypatch.setattr(Int8, "read", lambda *_: [empty] * 5)
    with pytest.raises(ExportError, match=r"mean IoU of at least 0\..* has 0\.0000 \(float32: 0\..*was deleted"):
        export_model(HQSam.from_pretrained("nano"), "int8", tmp_path / "int8", scenes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(model: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hqsam_lightning.export.base.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"expected the package onnx, found none; pip install 'hqsam-lightning\[onnx"):
        export_model(model, "onnx", tmp_path / "x")


def test_the_attention_of_a_vit_is_exported(tiny_sam_model: HQSam, tmp_path: Path) -> None:
    assert export_model(tiny_sam_model, "onnx", tmp_path / "vit").error <= 1e-5
    frames = images(tiny_sam_model, 3)
    close(run(tmp_path / "vit" / "encoder.onnx", frames)[0], tiny_sam_model.encode(frames).image_embeddings)


@pytest.fixture
def tiny_sam_model(tiny_sam, tmp_path: Path) -> HQSam:
    from hqsam_lightning.inference.model import Origin

    head = HQHead(tiny_sam)
    randomise(head, seed=3)
    return HQSam(tiny_sam, head, origin=Origin({}))
