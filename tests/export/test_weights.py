"""Files of weights: other programs and ourselves predict with them what the model predicts."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.authors import build_authors_model
from conftest import randomise
from hqsam_lightning.errors import ConfigError, ExportError, HQSamError, WeightsError
from hqsam_lightning.export import export_model, pass_image_tokens
from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import to_official
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.loading import sam_config_of
from hqsam_lightning.inference.model import Origin

HEAD = {"_target_": "hqsam_lightning.heads.HQHead"}
PROMPTS = {
    "box": {"box": np.array([5.0, 6.0, 30.0, 40.0])},
    "points": {"point_coords": np.array([[9.0, 8.0], [30.0, 20.0]]), "point_labels": np.array([1, 0])},
    "box and mask": {
        "box": np.array([5.0, 6.0, 30.0, 40.0]),
        "mask_input": np.random.default_rng(1).normal(size=(1, 16, 16)).astype(np.float32),
    },
}


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def make_model(name: str, folder: Path, head: dict[str, Any] | None = None) -> HQSam:
    """A SAM of conf/sam and a head, every weight random."""
    from hqsam_lightning.inference.loading import build_sam_of
    from hqsam_lightning.training.weights import build_head

    path = folder / f"{name}.pth"
    config = {**sam_config_of(name), "weights": "random"}
    sam = build_sam_of(config)
    randomise(sam, seed=0)
    torch.save(sam.sam.state_dict(), path)
    config["weights"] = str(path)
    sam = build_sam_of(config)
    built = build_head(head or HEAD, sam, seed=0)
    randomise(built, seed=3)
    return HQSam(sam, built, origin=Origin(config, head or HEAD))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HQSam:
    return make_model("tiny_random", tmp_path_factory.mktemp("export"))


def logits_of(predictor: Any, **options: Any) -> list[np.ndarray]:
    predictor.set_image(photo())
    return [
        predictor.predict(**prompt, multimask_output=False, return_logits=True, **options)[0]
        for prompt in PROMPTS.values()
    ]


def close(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_the_authors_model_loads_our_file_whole(model: HQSam, tmp_path: Path) -> None:
    exported = export_model(model, "official", tmp_path / "hq.pth")
    assert exported.error <= 1e-6
    assert exported.size == (tmp_path / "hq.pth").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["hq.pth"]
    other = HQHead(model.sam)
    authors = build_authors_model(model.sam, other)
    randomise(authors, seed=9)
    authors.load_state_dict(torch.load(tmp_path / "hq.pth", weights_only=True), strict=True)
    from segment_anything_hq import SamPredictor as AuthorsPredictor

    close(logits_of(SamPredictor(model)), logits_of(AuthorsPredictor(authors)))
    again = HQSam.from_pretrained(tmp_path / "hq.pth", sam="tiny_random")
    assert again.sam.weights_sha256 == model.sam.weights_sha256
    close(logits_of(SamPredictor(again)), logits_of(SamPredictor(model)))


def test_the_decoder_alone_is_what_the_authors_training_saves(model: HQSam, tmp_path: Path) -> None:
    export_model(model, "official_head", tmp_path / "epoch_11.pth")
    authors = build_authors_model(model.sam, HQHead(model.sam))
    state = torch.load(tmp_path / "epoch_11.pth", weights_only=True)
    assert state.keys() == authors.mask_decoder.state_dict().keys()
    authors.mask_decoder.load_state_dict(state)
    close(logits_of(SamPredictor(model)), logits_of(authors_predictor(authors)))
    weights = model.origin.sam["weights"]
    again = HQSam.from_pretrained(tmp_path / "epoch_11.pth", sam="tiny_random", sam_weights=weights)
    close(logits_of(SamPredictor(again)), logits_of(SamPredictor(model)))


def authors_predictor(authors: Any) -> Any:
    from segment_anything_hq import SamPredictor as AuthorsPredictor

    return AuthorsPredictor(authors)


def test_the_authors_registry_takes_our_light_hq_sam(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("vit_tiny", tmp_path)
    monkeypatch.setattr("hqsam_lightning.export.exporting.COMPARED", 1)
    export_model(model, "official", tmp_path / "light.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports modules from where timm used to have them
        from segment_anything_hq import sam_model_registry
    # its TinyViT keeps the attention biases that it had when it was last put into eval mode: before the file was read
    authors = sam_model_registry["vit_tiny"](checkpoint=str(tmp_path / "light.pth")).eval()
    # nothing but the classifier, which the model does not run, is missing
    said = capsys.readouterr().out
    assert "unexpected_keys=[]" in said
    assert set(json.loads(said.split("missing_keys=")[1].split("]")[0].replace("'", '"') + "]")) == {
        *("image_encoder.norm_head.weight", "image_encoder.norm_head.bias"),
        *("image_encoder.head.weight", "image_encoder.head.bias"),
    }
    prompt = {"box": np.array([5.0, 6.0, 30.0, 40.0]), "multimask_output": False, "return_logits": True}
    found = []
    for predictor in (SamPredictor(model), authors_predictor(authors)):
        predictor.set_image(photo())
        found.append([predictor.predict(**prompt)[2]])
    close(*found)


def test_transformers_predicts_with_our_folder(model: HQSam, tmp_path: Path) -> None:
    from transformers import SamHQModel, SamHQProcessor

    export_model(model, "transformers", tmp_path / "hq")
    theirs = SamHQModel.from_pretrained(tmp_path / "hq").eval()
    pass_image_tokens(theirs)
    processor = SamHQProcessor.from_pretrained(tmp_path / "hq")
    box = [5.0, 6.0, 30.0, 40.0]
    inputs = processor(photo(), input_boxes=[[box]], return_tensors="pt")
    with torch.no_grad():
        found = theirs(**inputs, multimask_output=False).pred_masks[0, 0].numpy()
    predictor = SamPredictor(model)
    predictor.set_image(photo())
    close([predictor.predict(box=np.array(box), multimask_output=False)[2]], [found])


def test_a_folder_of_transformers_is_imported(model: HQSam, tmp_path: Path) -> None:
    export_model(model, "transformers", tmp_path / "hq")
    again = HQSam.from_pretrained(tmp_path / "hq")
    assert again.output == "sum"
    assert again.sam.weights_sha256 == model.sam.weights_sha256
    close(logits_of(SamPredictor(again)), logits_of(SamPredictor(model)))
    export_model(again, "transformers", tmp_path / "twice")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("hq", "twice"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_transformers_plain_sam_is_imported(tmp_path: Path) -> None:
    from transformers import SamConfig, SamModel

    from hqsam_lightning.export.transformers_folder import sizes_of

    sam = make_model("tiny_random", tmp_path).sam
    sizes = sizes_of(sam)
    del sizes["mask_decoder_config"]["vit_dim"]
    theirs = SamModel(SamConfig(**sizes)).eval()
    randomise(theirs, seed=4)
    theirs.save_pretrained(tmp_path / "plain")
    ours = HQSam.from_pretrained(tmp_path / "plain")
    assert ours.is_plain_sam
    predictor = SamPredictor(ours)
    predictor.set_image(photo())
    pixels = ours.sam.normalise(torch.from_numpy(photo()).permute(2, 0, 1)[None].float())
    with torch.no_grad():
        boxes = torch.tensor([[[5.0, 6.0, 30.0, 40.0]]])
        found = theirs(pixel_values=pixels, input_boxes=boxes, multimask_output=True).pred_masks[0, 0].numpy()
    close([predictor.predict(box=boxes[0, 0].numpy())[2]], [found])


@pytest.mark.parametrize(
    "head",
    [HEAD, {**HEAD, "features": ["decoder"], "fusion": "none"}, {"_target_": "hqsam_lightning.heads.TunedDecoderHead"}],
)
def test_safetensors_hold_every_head(tmp_path: Path, head: dict[str, Any]) -> None:
    model = make_model("tiny_random", tmp_path, head)
    export_model(model, "safetensors", tmp_path / "whole.safetensors")
    Path(model.origin.sam["weights"]).unlink()
    again = HQSam.from_pretrained(tmp_path / "whole.safetensors")
    assert (again.output, type(again.head)) == (model.output, type(model.head))
    close(logits_of(SamPredictor(again)), logits_of(SamPredictor(model)))
    # an HQ head has the authors' names, for programs that read theirs
    if head == HEAD:
        assert load_file(tmp_path / "whole.safetensors").keys() >= to_official(model.head.state_dict()).keys()


def test_nano_is_one_file(tmp_path: Path) -> None:
    export_model(HQSam.from_pretrained("nano"), "safetensors", tmp_path / "nano.safetensors")
    again = HQSam.from_pretrained(tmp_path / "nano.safetensors")
    assert again.is_plain_sam
    assert again.sam.weights_sha256 == HQSam.from_pretrained("nano").sam.weights_sha256


def test_code_of_others_is_not_run(model: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "origin", Origin(model.origin.sam, {"_target_": "os.system"}))
    from hqsam_lightning.inference.whole_file import write_whole_model

    write_whole_model(model, tmp_path / "evil.safetensors")
    with pytest.raises(WeightsError, match=r"os.system.*pass trusted=True"):
        HQSam.from_pretrained(tmp_path / "evil.safetensors")


@pytest.mark.parametrize(
    ("name", "head", "format", "reason"),
    [
        ("nano_vit", None, "official", r"merged early feature; this SAM gives early=stacked"),
        ("nano_vit", None, "official_head", r"merged early feature; this SAM gives early=stacked"),
        ("nano", None, "transformers", r"SAM's ViT as its image encoder; nano has EfficientNetEncoder"),
        ("nano", None, "official", r"a ViT or TinyViT; nano has EfficientNetEncoder"),
        ("nano", None, "int8", r"int8 is of matrix products, and the encoder of nano has convolutions alone"),
        ("tiny_random", {"_target_": "hqsam_lightning.heads.TokenProductHead"}, "official", "one is TokenProductHead"),
        ("tiny_random", {**HEAD, "features": ["decoder"]}, "transformers", r"features=\[decoder, final, early\]"),
        ("tiny_random", {**HEAD, "fusion_width": 2.0}, "official", "fusion_width=1"),
        ("tiny_random", {"_target_": "hqsam_lightning.heads.RefinerHead"}, "onnx", "RefinerHead needs the image"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    tmp_path: Path, name: str, head: dict[str, Any] | None, format: str, reason: str
) -> None:
    with pytest.raises(ExportError, match=reason):
        export_model(make_model(name, tmp_path, head), format, tmp_path / "out.pth")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.pth"]


def test_a_place_that_is_taken_is_refused(model: HQSam, tmp_path: Path) -> None:
    (tmp_path / "there.safetensors").touch()
    with pytest.raises(ConfigError, match="out: expected a path where nothing is"):
        export_model(model, "safetensors", tmp_path / "there.safetensors")


def test_a_model_built_by_hand_is_refused(model: HQSam, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without an Origin"):
        export_model(HQSam(model.sam, model.head), "official", tmp_path / "x.pth")


def test_a_file_that_is_not_the_model_is_deleted(model: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hqsam_lightning.export.weights import OfficialHead

    def damaged(self: OfficialHead, model: HQSam) -> dict[str, torch.Tensor]:
        state = to_official(model.head.state_dict()) | {
            f"mask_decoder.{name}": value for name, value in model.sam.mask_decoder.state_dict().items()
        }
        state["mask_decoder.hf_token.weight"] = state["mask_decoder.hf_token.weight"] + 1
        return {name.removeprefix("mask_decoder."): value for name, value in state.items()}

    monkeypatch.setattr(OfficialHead, "tensors", damaged)
    with pytest.raises(ExportError, match=r"expected the model's logits to 1e-05 .* was deleted"):
        export_model(model, "official_head", tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []


def test_another_model_of_transformers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(HQSamError, match="expected the model_type sam or sam_hq; got 'bert'"):
        HQSam.from_pretrained(tmp_path)
