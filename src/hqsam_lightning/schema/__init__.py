"""The check of a whole config at the start of a command: every key's type and range, all problems in one error."""

from hqsam_lightning.schema.checking import check_config, problems_of
from hqsam_lightning.schema.paths import expand_paths

__all__ = ["check_config", "expand_paths", "problems_of"]
