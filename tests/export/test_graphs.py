"""Graphs: ONNX Runtime and torch.export's programs predict what the model predicts, for any number of everything."""

import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.export import ExportedProgram

from conftest import randomise
from export_command import run_export
from head_examples import make_prompts
from hqsam_lightning.errors import ConfigError, ExportError
from hqsam_lightning.export import export_model
from hqsam_lightning.export.graphs import ENCODER_INPUTS, ENCODER_OUTPUTS, decoder_inputs
from hqsam_lightning.export.onnx_files import Int8, Onnx, write_graph
from hqsam_lightning.export.programs import trace
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.inference.model import Origin
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt, PromptGroup, SamFeatures

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


@pytest.fixture(scope="module")
def model() -> HQSam:
    return HQSam.from_pretrained("hq_nano", output="sum")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as the command writes it."""
    folder = tmp_path_factory.mktemp("graphs") / "onnx"
    run_export("model=hq_nano", "output=sum", "format=onnx", f"out={folder}")
    return folder


@pytest.fixture(scope="module")
def vit(tiny_sam: FrozenSam) -> HQSam:
    head = HQHead(tiny_sam)
    randomise(head, seed=3)
    return HQSam(tiny_sam, head, origin=Origin({}))


@pytest.fixture(scope="module")
def traced(vit: HQSam, quiet_trace: None) -> tuple[ExportedProgram, ExportedProgram]:
    """The graphs of a ViT, with three masks for each prompt."""
    return trace(vit, multimask_output=True)


@pytest.fixture(scope="module", params=[1, 4])
def encoded(request: pytest.FixtureRequest, model: HQSam, folder: Path) -> tuple[SamFeatures, list[np.ndarray]]:
    """The model's features of 1 and of 4 images, and ONNX Runtime's."""
    frames = images(model, request.param)
    return model.encode(frames), run(folder / "encoder.onnx", frames)


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


def test_onnx_runtime_gives_the_models_features(encoded: tuple[SamFeatures, list[np.ndarray]]) -> None:
    features, (embeddings, early) = encoded
    close(embeddings, features.image_embeddings)
    close(early, features.early)


@pytest.mark.parametrize("kind", list(KINDS))
def test_onnx_runtime_gives_the_models_logits(
    model: HQSam, folder: Path, encoded: tuple[SamFeatures, list[np.ndarray]], kind: str
) -> None:
    """Each prompt on every image: N is 1 to 8, B is 1 or 4."""
    features, found = encoded
    count = len(found[0])
    group = in_frame(model, KINDS[kind] * count)
    index = torch.arange(count).repeat_interleave(len(KINDS[kind]))
    logits, iou = run(folder / "decoder.onnx", *found, *decoder_inputs(group, index, model.sam.mask_input_size))
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
        assert facts["image_size"] == model.image_size
        assert facts["output"] == "sum"
        assert facts["sam_sha256"] == model.sam.weights_sha256


def test_programs_give_three_masks(
    vit: HQSam,
    traced: tuple[ExportedProgram, ExportedProgram],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hqsam_lightning.export.programs.trace", lambda *_: traced)
    assert export_model(vit, "pt2", tmp_path / "programs", multimask_output=True).error <= 1e-6
    encoder, decoder = (torch.export.load(tmp_path / "programs" / f"{n}.pt2").module() for n in ("encoder", "decoder"))
    frames = images(vit, 1)
    group, index = in_frame(vit, KINDS["a point"]), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        logits, iou = decoder(*encoder(frames), *decoder_inputs(group, index, vit.sam.mask_input_size))
    expected = vit.decode(vit.encode(frames), [group], index, multimask_output=True)
    assert logits.shape[1] == 3
    close(logits.numpy(), expected[0])
    close(iou.numpy(), expected[1])


def test_the_attention_of_a_vit_is_exported(
    vit: HQSam, traced: tuple[ExportedProgram, ExportedProgram], tmp_path: Path
) -> None:
    write_graph(traced[0], ENCODER_INPUTS, ENCODER_OUTPUTS, {}, tmp_path / "encoder.onnx")
    frames = images(vit, 3)
    embeddings, early = run(tmp_path / "encoder.onnx", frames)
    features = vit.encode(frames)
    close(embeddings, features.image_embeddings)
    close(early, features.early)


def test_int8_is_a_fraction_of_the_size_and_loses_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "float32", tmp_path / "int8"
    run_export("model=hq_nano_vit", "output=sum", "format=onnx", f"out={folder}")
    # the same model in float32, translated once
    monkeypatch.setattr(Onnx, "write", lambda self, model, out, multimask_output: shutil.copytree(folder, out))
    capsys.readouterr()
    run_export("model=hq_nano_vit", "output=sum", "format=int8", f"out={out}", "scenes=8")
    # of the quantisation nothing is said
    file, scenes = capsys.readouterr().out.splitlines()
    assert file.startswith(f"{out}: ")
    assert float(file.split("largest error ")[1].split()[0]) > 1e-4, "nothing was quantised"
    after, before, loss = (float(each) for each in re.findall(r"\d\.\d{4}", scenes))
    assert before > 0.5, "a model without masks would lose none"
    assert before - after <= loss + 1e-3 <= 0.011
    sizes = [(place / "encoder.onnx").stat().st_size for place in (out, folder)]
    assert sizes[0] < 0.6 * sizes[1]
    assert sorted(path.name for path in out.iterdir()) == ["decoder.onnx", "encoder.onnx"]


def test_int8_masks_below_the_limit_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = torch.full((1, 1, 64, 64), -1.0)
    monkeypatch.setattr(Int8, "write", lambda self, model, out, multimask_output: out.mkdir())
    monkeypatch.setattr(Int8, "read", lambda *_: [empty] * 5)
    with pytest.raises(ExportError, match=r"mean IoU of at least 0\..* has 0\.0000 \(float32: 0\..*was deleted"):
        export_model(HQSam.from_pretrained("nano_vit"), "int8", tmp_path / "int8", scenes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(model: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hqsam_lightning.export.base.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"expected the package onnx, found none; pip install 'hqsam-lightning\[onnx"):
        export_model(model, "onnx", tmp_path / "x")
