"""A trained head as a file for other programs: `python -m hqsam_lightning.export model=RUN format=onnx out=FOLDER`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.export.exporting import Exported, export_model, require_place
from hqsam_lightning.inference.configured import configured_model
from hqsam_lightning.schema import check_config


def export(config: DictConfig) -> Exported:
    """Loads a model, writes it, and reports how far what was written is from it.

    Args:
        config: composed from conf/export.yaml.

    Raises:
        HQSamError: the model cannot be loaded or written.
    """
    config = check_config(config, "export")
    require_place(config.format, config.out)
    model = configured_model(config, precision="fp32", cache_dir=config.cache_dir)
    exported = export_model(
        model,
        config.format,
        config.out,
        multimask_output=config.multimask_output,
        tolerance=config.tolerance,
        max_iou_loss=config.max_iou_loss,
        scenes=config.scenes,
    )
    print(
        f"{exported.path}: {exported.size / 1e6:.1f} MB, {config.format} of {config.model}; largest error "
        f"{exported.error:.1e} of the largest logit"
    )
    if exported.iou is not None:
        before, after = exported.iou
        print(f"mean IoU on {config.scenes} scenes: {after:.4f} (float32: {before:.4f}, loss {before - after:.4f})")
    return exported


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="export")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    export(config)


if __name__ == "__main__":
    run_hydra(main, "export")
