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

from hqsam_lightning.config import conf_dir, own_errors
from hqsam_lightning.errors import CheckpointError, ConfigError
from hqsam_lightning.overrides import as_hydra_takes, override_hints
from hqsam_lightning.schema import check_config
from hqsam_lightning.train import build_module
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.weights import open_weights

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
            config = compose_hydra(
                "train", overrides=as_hydra_takes(overrides, "train", conf_dir()), return_hydra_config=True
            )
        folder = _output_dir(config, output_dir)
    except (HydraException, OmegaConfBaseException) as error:
        hints = override_hints(list(overrides), "train", conf_dir())
        raise ConfigError("\n".join([f"overrides: {error}", *hints])) from error
    with open_dict(config):
        config.paths.output_dir = folder
        del config["hydra"]
    return check_config(config, "train")


def load_run(checkpoint: str | Path, overrides: Sequence[str] = ()) -> HQSamModule:
    """Builds the SAM and the variants of a run and gives them what they have learned; no data is needed.

    Args:
        checkpoint: of ``python -m hqsam_lightning.train``, or the run's folder, whose best checkpoints are taken.
        overrides: keys of the run's config to change, such as ``["sam.weights=/path/to/sam_vit_l_0b3195.pth"]`` where
            the weights of SAM lie elsewhere now.

    Returns:
        The module, in eval mode, on the CPU; its variants are those that the checkpoint holds.

    Raises:
        CheckpointError: the file is damaged, of another kind, or its weights are not of this SAM.
        HQSamError: SAM cannot be built.
    """
    weights, variant = open_weights(str(checkpoint), "checkpoint")
    if weights.config is None:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint of hqsam_lightning.train; it holds weights alone")
    config = OmegaConf.merge(OmegaConf.create(weights.config), OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(config, DictConfig)
    names = weights.variants if variant is None else [variant]
    for section in ("variants", "variant_losses"):
        config[section] = {name: value for name, value in config[section].items() if name in names}
    config.evaluation.variant = None
    with own_errors():
        module = build_module(config, instantiate(config.sam), val_sets=[])
    for name in names:
        weights.fill(module.heads[name], name, module.sam)
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
