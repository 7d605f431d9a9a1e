"""What a run can do without: a failure of it is a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def decoration(what: str) -> Iterator[None]:
    """Runs what is not needed for the results, such as pictures; its failure is logged and the run continues.

    Any exception is caught on purpose: drawing and loggers are other packages' code, and what they raise is open.

    Args:
        what: failed, as the beginning of the warning.
    """
    try:
        yield
    except Exception as error:
        log.warning(
            "%s failed (%s: %s); weights and scores do not depend on it, the command continues without",
            *(what, type(error).__name__, error),
        )
