"""The package from Python: compose a config, train it, load what a run has learned.

`hqsam_lightning.compose`, `hqsam_lightning.train` and `hqsam_lightning.load_run` are the documented names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose as compose_hydra
from hydra import initialize_config_dir
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hqsam_lightning.cli import conf_dir, own_errors
from hqsam_lightning.errors import CheckpointError, ConfigError
from hqsam_lightning.overrides import override_hints, replace_mappings
from hqsam_lightning.schema import check_config
from hqsam_lightning.session import with_debug
from hqsam_lightning.train import build_module
from hqsam_lightning.training.checkpoint import INFO_KEY, check_checkpoint, read_checkpoint
from hqsam_lightning.training.module import HQSamModule

OUTPUT_OF_HYDRA = "${hydra:runtime.output_dir}"


def compose(overrides: Sequence[str] = (), output_dir: str | Path | None = None) -> DictConfig:
    """Composes and checks the config of a training run, as the command line does.

    Args:
        overrides: as on the command line, e.g. ``["+experiment=quickstart", "trainer.max_epochs=1"]``;
            a mapping replaces the config's.
        output_dir: everything the run writes; None takes ``paths.output_dir`` or ``hydra.run.dir`` of the overrides,
            otherwise a new folder ``outputs/NAME/DATE``.

    Returns:
        The config for `hqsam_lightning.train`.

    Raises:
        ConfigError: for an override that cannot be read or has no such key, and for every key whose value cannot work.
    """
    try:
        # the resolver of ${now:...}
        setup_globals()
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose_hydra("train", overrides=replace_mappings(overrides, conf_dir()), return_hydra_config=True)
        folder = _output_dir(config, output_dir)
    except (HydraException, OmegaConfBaseException) as error:
        hints = override_hints(list(overrides), "train", conf_dir())
        raise ConfigError("\n".join([f"overrides: {error}", *hints])) from error
    with open_dict(config):
        config.paths.output_dir = folder
        del config["hydra"]
    return check_config(with_debug(config), "train")


def load_run(checkpoint: str | Path, overrides: Sequence[str] = ()) -> HQSamModule:
    """Builds the SAM and the variants of a run and gives them the weights of its checkpoint; no data is needed.

    Args:
        checkpoint: of ``python -m hqsam_lightning.train``, e.g. RUN/checkpoints/best.ckpt.
        overrides: keys of the run's config to change, such as ``["sam.weights=/path/to/sam_vit_l_0b3195.pth"]`` where
            the weights of SAM lie elsewhere now.

    Returns:
        The module, in eval mode, on the CPU.

    Raises:
        CheckpointError: the file is damaged, of another kind, or its weights are not of this SAM and these variants.
        HQSamError: SAM cannot be built.
    """
    path = Path(checkpoint).expanduser()
    stored = read_checkpoint(path)
    config = OmegaConf.merge(OmegaConf.create(stored[INFO_KEY]["config"]), OmegaConf.from_dotlist(list(overrides)))
    if not isinstance(config, DictConfig) or "variants" not in config:
        raise CheckpointError(f"{path}: expected a checkpoint of hqsam_lightning.train; its config has no variants")
    with own_errors():
        module = build_module(config, instantiate(config.sam), val_sets=[])
    check_checkpoint(stored, module.trainable_state, module.sam.name, module.sam.weights_sha256)
    # the frozen SAM is not in the checkpoint; the other keys were compared
    module.load_state_dict(stored["state_dict"], strict=False)
    return module.eval()


def _output_dir(config: DictConfig, wanted: str | Path | None) -> str:
    given = OmegaConf.to_container(config.paths, resolve=False)
    assert isinstance(given, dict)
    if wanted is None and given["output_dir"] != OUTPUT_OF_HYDRA:
        return str(config.paths.output_dir)
    if wanted is not None:
        return str(Path(wanted).expanduser().resolve())
    first = Path(config.hydra.run.dir).resolve()
    folder, number = first, 1
    while folder.exists() and "hydra.run.dir" not in " ".join(config.hydra.overrides.hydra):
        number += 1
        folder = first.with_name(f"{first.name}_{number}")
    return str(folder)
