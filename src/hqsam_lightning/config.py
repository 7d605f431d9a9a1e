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
def own_errors(section: str | None = None) -> Iterator[None]:
    """Raises the package's own error where Hydra raises one of instantiating that stands before it.

    Args:
        section: of the config, that is instantiated; where sets within it fail, the error says what their keys are.
    """
    try:
        yield
    except InstantiationException as error:
        own, key = own_error(error), full_key(error)
        if own is None:
            raise
        if section is None or key in (None, section) or "data." not in str(own):
            raise own from own.__cause__
        hint = f"these sets are {key}: write {key}.KEY where this names data.KEY"
        raise type(own)(f"{own}\n{hint}") from own


def make_callable(module: str, function: Callable[[DictConfig], Any]) -> None:
    """Makes a module the function of its name: `hqsam_lightning.train(config)` calls `train` of that module."""

    class Entry(ModuleType):
        def __call__(self, config: DictConfig) -> Any:
            with own_errors():
                return function(config)

    sys.modules[module].__class__ = Entry


def full_key(error: BaseException) -> str | None:
    """The key, in the whole config, of the code that Hydra's error is about; None where it is not said."""
    found = [line.removeprefix("full_key:").strip() for line in str(error).splitlines() if line.startswith("full_key:")]
    return found[0] if found else None
