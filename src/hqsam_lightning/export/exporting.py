"""Writes a model in a format, compares what was written with the model, and puts it in place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.errors import ConfigError, ExportError, choice_error
from hqsam_lightning.export.base import Format
from hqsam_lightning.export.onnx_files import Int8, Onnx
from hqsam_lightning.export.programs import Programs
from hqsam_lightning.export.samples import Sample, draw_sample
from hqsam_lightning.export.transformers_folder import TransformersFolder
from hqsam_lightning.export.weights import Official, OfficialHead, Safetensors
from hqsam_lightning.inference.folder import require_origin
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.metrics.functional import mask_iou
from hqsam_lightning.storage.files import writing

FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (Official(), OfficialHead(), TransformersFolder(), Safetensors(), Onnx(), Int8(), Programs())
}
COMPARED = 2
"""Scenes that a format is compared by, unless it is quantised."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: of the file or folder.
        size: of all of it, in bytes.
        error: largest difference of its logits to the model's, relative to the model's largest logit.
        iou: of the model's and of the file's masks with those of the scenes, box prompts; None where `error` decides.
    """

    path: Path
    size: int
    error: float
    iou: tuple[float, float] | None = None


def export_model(
    model: HQSam,
    format: str,
    out: str | Path,
    *,
    multimask_output: bool = False,
    tolerance: float = 1e-5,
    max_iou_loss: float = 0.01,
    scenes: int = 16,
) -> Exported:
    """Writes a model as a file or folder, which is there only once its masks were compared with the model's.

    Args:
        model: of `HQSam.from_pretrained`, on the CPU and in float32.
        format: of `FORMATS`.
        out: a file or folder that is not there.
        multimask_output: three masks for each prompt in the graphs of onnx, int8 and pt2.
        tolerance: largest `Exported.error`; int8 is judged by its masks instead.
        max_iou_loss: by how much the mean IoU of int8 masks may be below that of the model's.
        scenes: procedural scenes that int8 is judged by.

    Raises:
        ConfigError: an argument cannot work, or a package is missing.
        ExportError: the format cannot hold the model, or what was written does not predict its masks.
        StorageError: it cannot be written.
    """
    chosen, path = require_place(format, out)
    _check(model)
    chosen.check(model)
    is_quantised = isinstance(chosen, Int8)
    sample = draw_sample(model, scenes if is_quantised else COMPARED)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        written = holder / path.name
        chosen.write(model, written, multimask_output)
        found = chosen.read(written, model, multimask_output, sample)
        expected = chosen.expected(model, multimask_output, sample)
        error = largest_error(found, expected)
        iou = (mean_iou(expected, sample), mean_iou(found, sample)) if is_quantised else None
        _judge(format, error, tolerance, iou, max_iou_loss)
        with writing(path):
            os.replace(written, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    return Exported(path, _size_of(path), error, iou)


def require_place(format: str, out: str | Path) -> tuple[Format, Path]:
    """The format of a name, and the path that it is written to; called before a model is loaded.

    Raises:
        ConfigError: there is no such format, a package of it is missing, or it cannot be written to the path.
    """
    if format not in FORMATS:
        raise choice_error("format", format, list(FORMATS))
    chosen, path = FORMATS[format], Path(out).expanduser()
    if path.exists():
        raise ConfigError(f"out: expected a path where nothing is; got {path}; choose another, or delete it")
    chosen.check_place(path)
    return chosen, path


def largest_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference relative to the largest logit expected, over kinds of prompts."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def mean_iou(logits: list[Tensor], sample: Sample) -> float:
    """Mean IoU of the masks of box prompts with a sample's objects, of three masks the best one's, in [0, 1]."""
    boxes = logits[list(sample.groups).index("box")]
    size = sample.masks.shape[-2:]
    masks = F.interpolate(boxes, size, mode="bilinear", align_corners=False) > 0
    scores = [mask_iou(masks[:, place], sample.masks[:, 0] > 0.5) for place in range(masks.shape[1])]
    best = scores[0]
    for other in scores[1:]:
        best = best.maximum(other)
    return float(best.mean())


def _check(model: HQSam) -> None:
    require_origin(model, "export")
    if model.device.type != "cpu" or model.sam.precision != "fp32":
        raise ConfigError(
            f"export: expected a model on the CPU in fp32; got {model.device} and {model.sam.precision}; load it with "
            "HQSam.from_pretrained(..., precision='fp32')"
        )


def _judge(format: str, error: float, tolerance: float, iou: tuple[float, float] | None, max_iou_loss: float) -> None:
    if iou is None:
        if not error <= tolerance:
            raise ExportError(
                f"format={format}: expected the model's logits to {tolerance:.0e} of the largest; what was written "
                f"differs by {error:.1e} and was deleted; raise tolerance if that is good enough"
            )
    elif not iou[0] - iou[1] <= max_iou_loss:
        raise ExportError(
            f"format={format}: expected a mean IoU of at least {iou[0] - max_iou_loss:.4f} on the scenes; what was "
            f"written has {iou[1]:.4f} (float32: {iou[0]:.4f}) and was deleted; raise max_iou_loss if that is good "
            "enough"
        )


def _size_of(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)
