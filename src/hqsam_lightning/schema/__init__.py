"""Checks a whole config at the start of a command: type and range of every key, with all problems in one error."""

from hqsam_lightning.schema.checking import check_config, problems_of
from hqsam_lightning.schema.paths import expand_paths

__all__ = ["check_config", "expand_paths", "problems_of"]
