"""The two graphs as ONNX, in float32 or with the encoder's matrix products in int8, by ONNX Runtime."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from hqsam_lightning.export.base import Format
from hqsam_lightning.export.graphs import (
    DECODER_INPUTS,
    DECODER_OUTPUTS,
    ENCODER_INPUTS,
    ENCODER_OUTPUTS,
    Graph,
    refusal_of_graphs,
    run_graphs,
)
from hqsam_lightning.export.programs import trace
from hqsam_lightning.export.samples import Sample
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.sam import EfficientNetEncoder
from hqsam_lightning.storage.files import FORMAT, writing

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
QUANTISED = ("MatMul", "Gemm")
"""Operators that get int8 weights."""
ERROR = 3
"""ONNX Runtime's severity from which its sessions speak."""
TRANSLATORS = ("onnxscript", "onnx_ir")
"""Loggers of the packages behind `torch.onnx.export`, which say at INFO what they do to each node."""


class Onnx(Format):
    """A folder with ``encoder.onnx`` and ``decoder.onnx``; their metadata say what a caller has to know."""

    name = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    extra = "onnx"

    def refusal(self, model: HQSam) -> str | None:
        """Features are the decoder's input."""
        return refusal_of_graphs(model)

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Traces and translates; more than 2 GB of weights go to a file beside the graph."""
        encoder, decoder = trace(model, multimask_output)
        facts = facts_of(model, multimask_output)
        with writing(out):
            out.mkdir()
            write_graph(encoder, ENCODER_INPUTS, ENCODER_OUTPUTS, facts, out / ENCODER)
            write_graph(decoder, DECODER_INPUTS, DECODER_OUTPUTS, facts, out / DECODER)

    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """ONNX Runtime's masks."""
        encoder, decoder = (session(out / name) for name in (ENCODER, DECODER))
        return run_graphs(encoder, decoder, sample, model.sam.mask_input_size)


class Int8(Onnx):
    """ONNX whose encoder has int8 weights in its matrix products, quantised per channel; inputs as they come.

    The decoder, a small part of a model's size and cost, stays in float32, and so do convolutions.
    """

    name = "int8"

    def refusal(self, model: HQSam) -> str | None:
        """Convolutions stay as they are."""
        if isinstance(model.sam.sam.image_encoder, EfficientNetEncoder):
            return f"int8 is of matrix products, and the encoder of {model.sam.name} has convolutions alone"
        return super().refusal(model)

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Writes ONNX, then replaces the encoder."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        super().write(model, out, multimask_output)
        whole = out / "float32.onnx"
        (out / ENCODER).rename(whole)
        with writing(out), _errors_alone():
            quantize_dynamic(
                whole,
                out / ENCODER,
                op_types_to_quantize=list(QUANTISED),
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
            whole.unlink()


def write_graph(
    program: ExportedProgram, inputs: Iterable[str], outputs: Iterable[str], facts: Mapping[str, Any], path: Path
) -> None:
    """Translates one graph and writes it.

    Args:
        program: traced.
        inputs: their names.
        outputs: their names.
        facts: become the file's metadata.
        path: of the file.
    """
    with _errors_alone():
        translated = torch.onnx.export(
            program, dynamo=True, input_names=list(inputs), output_names=list(outputs), verbose=False
        )
        assert translated is not None
        translated.model.metadata_props[FORMAT] = json.dumps(facts)
        translated.save(path)


@contextmanager
def _errors_alone() -> Iterator[None]:
    """Keeps out of the log what the translation and ONNX Runtime's quantisation say of single nodes.

    The latter logs on the root logger itself: a filter there leaves the records of all others alone.
    """
    loggers = [logging.getLogger(name) for name in TRANSLATORS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    logging.root.addFilter(_is_error)
    try:
        yield
    finally:
        logging.root.removeFilter(_is_error)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def facts_of(model: HQSam, multimask_output: bool) -> dict[str, Any]:
    """What a caller has to know of the graphs: the frame's side, and which logits are given."""
    return {
        "sam": model.sam.name,
        "sam_sha256": model.sam.weights_sha256,
        "image_size": model.image_size,
        "mask_input_size": model.sam.mask_input_size,
        "output": model.output,
        "multimask_output": multimask_output,
        "mask_threshold": model.mask_threshold,
    }


def session(path: Path) -> Graph:
    """A file as a function of tensors."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = ERROR
    loaded = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in loaded.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        arrays: Sequence[Any] = loaded.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})
        first, second = (torch.from_numpy(array) for array in arrays)
        return first, second

    return run
