"""The model that a command's config names."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from hqsam_lightning.inference.model import HQSam


def configured_model(config: DictConfig, **options: Any) -> HQSam:
    """Loads a model.

    Args:
        config: with the keys ``model``, ``output``, ``sam_name`` and ``sam_weights``.
        options: further ones of `HQSam.from_pretrained`.

    Raises:
        HQSamError: there is no such model, or it cannot be loaded.
    """
    return HQSam.from_pretrained(
        config.model, output=config.output, sam=config.sam_name, sam_weights=config.sam_weights, **options
    )
