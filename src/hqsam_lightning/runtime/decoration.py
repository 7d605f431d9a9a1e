"""Work that a run can do without: its failure is a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def decoration(what: str) -> Iterator[None]:
    """Runs code that the results do not depend on, such as drawing; its failure is logged and the run continues.

    Every exception is caught on purpose: drawing and logging is code of other packages, which may raise anything. The
    warning begins with `what`, the name of the work.
    """
    try:
        yield
    except Exception as error:
        log.warning(
            "%s failed (%s: %s); weights and scores do not depend on it, the command continues without",
            *(what, type(error).__name__, error),
        )
