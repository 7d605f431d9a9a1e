"""Errors that name the file or config key, the value found, what was expected and how to fix it.

Every class takes one message, so that an error raised in a data-loading worker survives the trip to the main process.
"""


class HQSamError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(HQSamError, ValueError):
    """A config key holds a value that cannot work."""


class FinishedError(ConfigError):
    """The folder of a run holds one that is finished."""


class DataError(HQSamError):
    """A photo, mask or data folder is missing or cannot be used."""


class WeightsError(HQSamError):
    """A weights file cannot be fetched, or does not belong to the model it is loaded into."""


class PromptError(HQSamError, ValueError):
    """An image or prompt that a predictor is given has a shape, type or value that cannot work."""


class CacheError(HQSamError):
    """An embedding cache is missing, unfinished, damaged, of another run, or does not fit on the disk."""


class CheckpointError(HQSamError):
    """A training checkpoint is damaged, or belongs to another SAM or other variants."""


class ExportError(HQSamError):
    """A format cannot hold a model, or what was written is not the model."""


class DivergedError(HQSamError):
    """A loss, gradient or weight became NaN or infinite in training."""


class StorageError(HQSamError):
    """A file cannot be written: the disk is full, read-only, or gone."""


class BusyError(HQSamError):
    """A folder or file that one process alone may write is in use by another."""


def choice_error(key: str, value: object, choices: list[str] | tuple[str, ...]) -> ConfigError:
    """Builds the error for a config key whose value is not among its choices."""
    return ConfigError(f"{key}: expected one of {', '.join(choices)}; got {value!r}")
