"""From a folder of photos with a box each to masks in files: our command, and the same with the packages of others."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from skimage.io import imread

from benchmarks.cases import GIB, Row, make_row
from benchmarks.processes import take_turns_apart
from benchmarks.workload import build_sam, device
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.export.transformers_folder import TransformersFolder, pass_image_tokens
from hqsam_lightning.export.weights import official_state
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.predict import predict as run_predict
from hqsam_lightning.runtime.timing import Contestant
from hqsam_lightning.sam import TinyViTEncoder

BOX = (0.15, 0.1, 0.85, 0.9)
"""xyxy of every photo's prompt, in shares of its sides."""
TINY_VIT = "vit_tiny"


def predict(config: DictConfig) -> list[Row]:
    """Masks of config.photos at their size: ours and the authors' predictor (TinyViT), or transformers' (ViT).

    Each in a process of its own. All of a run is timed but the start of the interpreter and imports: reading the
    weights, one HQ head's and SAM's, and the photos, and writing a PNG each.
    """
    if config.photos is None:
        raise ConfigError("photos: expected a folder of .jpg photos for the case predict; got null")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sam = build_sam(config)
        is_tiny = isinstance(sam.sam.image_encoder, TinyViTEncoder)
        reference = "authors" if is_tiny else "transformers"
        _write_model(HQSam(sam, HQHead(sam)), folder, is_tiny)
        photos = _write_prompts(Path(config.photos).expanduser().resolve(), folder, config.max_photos)
        builders: dict[str, Callable[[], Contestant]] = {
            reference: partial(_authors if is_tiny else _transformers, folder),
            "ours": partial(_ours, folder, config.sam.name),
        }
        timings, memory = take_turns_apart(builders, config.rounds)
        rates = {each: len(photos) / timings[each].median for each in builders}
        notes = {each: f"{rate:.3g} photos/s of {len(photos)}" for each, rate in rates.items()}
        notes["ours"] += f", least IoU of a mask with {reference}' {_least_iou(folder, reference, photos):.4f}"
    return [make_row("predict", timings, each, reference, memory[each] / GIB, notes[each]) for each in builders]


def _write_model(model: HQSam, folder: Path, is_tiny: bool) -> None:
    torch.save(official_state(model), folder / "model.pth")
    if not is_tiny:
        TransformersFolder().write(model, folder / "transformers_model", multimask_output=False)


def _write_prompts(photos: Path, folder: Path, most: int) -> list[str]:
    """Links the photos, and writes a box for each; gives their names."""
    found = sorted(photos.glob("*.jpg"))[:most]
    if not found:
        raise ConfigError(f"photos: expected a folder of .jpg photos; {photos} has no .jpg")
    (folder / "photos").mkdir()
    rows = []
    for photo in found:
        (folder / "photos" / photo.name).symlink_to(photo)
        height, width = imread(photo).shape[:2]
        rows.append({"image": photo.name, "box": [width * BOX[0], height * BOX[1], width * BOX[2], height * BOX[3]]})
    (folder / "prompts.json").write_text(json.dumps(rows))
    return [photo.name for photo in found]


def _prompted(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, (H0, W0, 3) uint8 pixels and xyxy box of each photo."""
    for row in json.loads((folder / "prompts.json").read_text()):
        pixels = imread(folder / "photos" / row["image"])
        yield row["image"], pixels if pixels.ndim == 3 else np.dstack([pixels] * 3), np.array(row["box"])


def _save(folder: Path, name: str, mask: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / Path(name).with_suffix(".png")), mask.astype(np.uint8) * 255)


def _authors(folder: Path) -> Contestant:
    with warnings.catch_warnings():
        # the package imports modules from where timm used to have them
        warnings.simplefilter("ignore")
        from segment_anything_hq import SamPredictor, sam_model_registry

    def run() -> None:
        predictor = SamPredictor(sam_model_registry[TINY_VIT](str(folder / "model.pth")).eval().to(device()))
        for name, pixels, box in _prompted(folder):
            predictor.set_image(pixels)
            masks, _, _ = predictor.predict(box=box, multimask_output=False)
            _save(folder / "authors", name, masks[0])

    return run


def _transformers(folder: Path) -> Contestant:
    from transformers import SamHQModel, SamHQProcessor

    @torch.no_grad()
    def run() -> None:
        model: Any = SamHQModel.from_pretrained(folder / "transformers_model").eval().to(device())
        pass_image_tokens(model)
        processor: Any = SamHQProcessor.from_pretrained(folder / "transformers_model")
        for name, pixels, box in _prompted(folder):
            given = processor(pixels, input_boxes=[[box.tolist()]], return_tensors="pt").to(device())
            answer = model(
                pixel_values=given["pixel_values"], input_boxes=given["input_boxes"].float(), multimask_output=False
            )
            sizes = given["original_sizes"], given["reshaped_input_sizes"]
            masks = processor.image_processor.post_process_masks(
                answer.pred_masks.cpu(), *(each.cpu() for each in sizes)
            )
            _save(folder / "transformers", name, masks[0][0, 0].numpy())

    return run


def _ours(folder: Path, sam_name: str) -> Contestant:
    runs = count()

    def run() -> None:
        out = folder / f"ours_{next(runs)}"
        overrides = [
            f"model={folder / 'model.pth'}",
            f"sam_name={sam_name}",
            f"images={folder / 'photos'}",
            f"prompt={folder / 'prompts.json'}",
            "write=[masks]",
            f"out={out}",
            f"paths.output_dir={out}",
        ]
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose("predict", overrides=overrides)
        run_predict(config)

    return run


def _least_iou(folder: Path, reference: str, photos: list[str]) -> float:
    """Of each photo's mask in the first of our runs with the reference's."""
    values = []
    for photo in photos:
        name = Path(photo).with_suffix(".png")
        one, other = (imread(each / name) > 0 for each in (folder / "ours_0" / "masks", folder / reference))
        values.append((one & other).sum() / max(1, (one | other).sum()))
    return float(min(values))
