"""The configs: where they lie, a composed one as plain values, and the package's own errors behind Hydra's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.runtime.interruption import chain_of


def conf_dir() -> str:
    """Folder of the Hydra configs: inside an installed wheel, or at the root of a checkout."""
    inside = Path(__file__).parent / "conf"
    return str(inside if inside.is_dir() else Path(__file__).resolve().parents[2] / "conf")


def as_plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values, which checkpoints and loggers can hold."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def own_error(error: BaseException) -> HQSamError | None:
    """The package's own error: this one, or the one behind Hydra's error in instantiating; None where there is none."""
    for each in chain_of(error) if isinstance(error, InstantiationException) else [error]:
        if isinstance(each, HQSamError):
            return each
    return None


@contextmanager
def own_errors() -> Iterator[None]:
    """Raises the package's own error where Hydra raises one of instantiating that stands before it."""
    try:
        yield
    except InstantiationException as error:
        own = own_error(error)
        if own is None:
            raise
        raise own from own.__cause__


def make_callable(module: str, function: Callable[[DictConfig], Any]) -> None:
    """Makes a module the function of its name: `hqsam_lightning.train(config)` calls `train` of that module."""

    class Entry(ModuleType):
        def __call__(self, config: DictConfig) -> Any:
            with own_errors():
                return function(config)

    sys.modules[module].__class__ = Entry


def full_key(error: BaseException) -> str | None:
    """The key, in what was instantiated, of the code that Hydra's error is about; None where it is not said."""
    found = [line.removeprefix("full_key:").strip() for line in str(error).splitlines() if line.startswith("full_key:")]
    return found[0] if found else None
