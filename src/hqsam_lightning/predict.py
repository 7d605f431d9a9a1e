"""Writes masks of photos: `python -m hqsam_lightning.predict model=RUN images=FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir, make_callable
from hqsam_lightning.data.problems import raise_problems
from hqsam_lightning.data.watched_loading import loader_errors
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.inference.configured import configured_model
from hqsam_lightning.inference.device import device_of
from hqsam_lightning.prediction.coco import write_coco
from hqsam_lightning.prediction.journal import Journal
from hqsam_lightning.prediction.loading import PhotoLoading
from hqsam_lightning.prediction.photos import find_photos
from hqsam_lightning.prediction.prompts import PromptedPhotos
from hqsam_lightning.prediction.running import Outcome, Prediction
from hqsam_lightning.prediction.segmenting import Settings, segmenting
from hqsam_lightning.prediction.selecting import EVERYTHING, select_prompts
from hqsam_lightning.prediction.writing import CUTOUTS, NEEDS_IMAGE, POLYGONS, RLE, PhotoWriter
from hqsam_lightning.runtime.memory import keep_freed_memory
from hqsam_lightning.runtime.process_settings import ProcessSettings, begin_loading, with_process_settings
from hqsam_lightning.runtime.signals import Stopped, stop_on_signals
from hqsam_lightning.schema import check_config
from hqsam_lightning.storage.files import content_sha256
from hqsam_lightning.training.run_folder import continue_command, owned, write_hydra_files

COCO_FILES = {RLE: "coco_rle.json", POLYGONS: "coco_polygons.json"}
MASKS_DEPEND_ON = ("multimask", "frame", "margin", "tile", "overlap", "automatic", "write")
"""Keys of the config, beside the model, the photos and their prompts."""


@with_process_settings
@loader_errors()
def predict(config: DictConfig) -> Outcome:
    """Writes the masks of every photo that its folder does not have yet.

    Args:
        config: composed from conf/predict.yaml.

    Returns:
        What was found.

    Raises:
        HQSamError: for input that cannot work, before any long work starts; and at the end, naming the photos, if some
            could not be read.
        Stopped: after a signal; the same command with this folder continues.
    """
    config = check_config(config, "predict")
    folder = Path(config.paths.output_dir)
    with stop_on_signals(), owned(folder):
        prompted = select_prompts(config, find_photos(config.images))
        if prompted.wanted is None and CUTOUTS in config.write:
            raise ConfigError(f"write: expected no {CUTOUTS} with prompt={EVERYTHING}, whose masks have no soft edges")
        if config.frame == "box":
            _refuse_cuts(config, prompted)
        write_hydra_files(folder, config)
        try:
            outcome = _predict(config, prompted, folder)
        except Stopped as stop:
            print(f"{stop.signal.name}: stopped; {continue_command('predict', folder)} continues", file=sys.stderr)
            raise
        for kind in COCO_FILES.keys() & set(config.write):
            write_coco(folder / COCO_FILES[kind], kind, prompted, outcome.records)
    _report(outcome, folder)
    return outcome


def _predict(config: DictConfig, prompted: PromptedPhotos, folder: Path) -> Outcome:
    model = load_model(config)
    if model.device.type == "cpu" and ProcessSettings.from_config(config).keep_freed_memory:
        keep_freed_memory()
    plain = as_plain(config)
    names = ("multimask", "prompts_per_call", "batch_size", "tile", "overlap", "automatic")
    is_prompted = prompted.wanted is not None
    margin = config.margin if config.frame == "box" else None
    settings = Settings(**{name: plain[name] for name in names}, margin=margin)
    segment = segmenting(model, settings, everything=not is_prompted)
    is_whole = is_prompted and config.tile is None and margin is None
    loading = PhotoLoading(
        prompted,
        model.image_size,
        model.sam.mask_input_size,
        is_whole,
        needs_image=not is_whole or any(kind in NEEDS_IMAGE for kind in config.write),
        margin=margin,
    )
    journal = Journal(folder)
    journal.begin(_facts(model, plain))
    options = {
        "num_workers": config.loader.num_workers,
        "timeout": config.loader.timeout,
        "worker_init_fn": begin_loading(config),
    }
    # without prompts for the whole photo, photos are encoded one by one
    batch_size = config.batch_size if is_whole else 1
    return Prediction(loading, segment, PhotoWriter(folder, config.write), journal).run(batch_size, options)


def _refuse_cuts(config: DictConfig, prompted: PromptedPhotos) -> None:
    """Raises a ConfigError where there are no boxes to cut around, or tiles are asked for too."""
    if prompted.wanted is None:
        shown, remedy = f"prompt={EVERYTHING}, which has no boxes", "set automatic.crop_n_layers or tile for details"
    elif config.points is not None and config.boxes is None:
        shown, remedy = "points alone", "set boxes too"
    elif config.tile is not None:
        shown, remedy = f"tile={config.tile}", "set tile=null"
    else:
        return
    raise ConfigError(f"frame: expected photo with {shown}; got box, which shows the photo around each box; {remedy}")


def load_model(config: DictConfig) -> HQSam:
    """Loads what ``model`` names, on the device.

    Raises:
        HQSamError: there is no such model or device.
    """
    return configured_model(
        config,
        device=device_of(config.device),
        precision=config.precision,
        cache_dir=config.paths.cache_dir,
        revision=config.revision,
    )


def _facts(model: HQSam, plain: dict[str, Any]) -> dict[str, Any]:
    return {
        "sam": model.sam.weights_sha256,
        "precision": model.sam.precision,
        "head": content_sha256(dict(model.head.learned)),
        "output": model.output,
        **{key: plain[key] for key in MASKS_DEPEND_ON},
    }


def _report(outcome: Outcome, folder: Path) -> None:
    """Says what was done; what failed is an error."""
    failed, count = outcome.failed, len(outcome.records)
    empty = sum(not each["area"] for each in outcome.objects)
    done = f"{count - len(failed)} of {count} photos done, {outcome.before} of them before"
    print(f"{done}; {len(outcome.objects)} masks, {empty} of them empty, in {folder}")
    raise_problems(f"images, {len(failed)} of {count}", failed, "repair them and run the same command with this out")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="predict")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    predict(config)


make_callable(__name__, predict)


if __name__ == "__main__":
    run_hydra(main, "predict")
