"""Cross-fitting: the training photos in parts, each of which is scored by a head that was trained on the others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.errors import ConfigError

log = logging.getLogger(__name__)

LEAST = 2
"""Photos of a part."""


@dataclass(frozen=True)
class Folds:
    """Parts of the training photos.

    Attributes:
        count: number of parts.
        of: the part of each sample id, from 0.
    """

    count: int
    of: dict[str, int] = field(repr=False)


def cross_fitted(sets: DataSets, count: int) -> tuple[DataSets, Folds]:
    """Sets that validate on the training photos themselves, and the parts that these are cut into.

    A part of a set are photos that follow each other in the order of their names: those of one burst, or of one scene,
    are likely in the same part.

    Args:
        sets: without validation sets.
        count: number of parts, at least 2.

    Raises:
        ConfigError: there are too few photos.
    """
    parts: dict[str, int] = {}
    validation = {}
    for samples, _ in sets.train:
        ids = [samples.identify(index).sample_id for index in range(len(samples))]
        if len(ids) < LEAST * count:
            raise ConfigError(
                f"folds: expected at most {len(ids) // LEAST}, {LEAST} photos per part, of the {len(ids)} photos to "
                f"train on; got {count}; add photos (at least {LEAST * count}), or lower folds"
            )
        parts |= {name: place * count // len(ids) for place, name in enumerate(ids)}
        validation[samples.identify(0).dataset] = samples
    log.info("no validation set: %d photos in %d parts, each scored by heads that do not see it", len(parts), count)
    return DataSets(sets.train, validation), Folds(count, parts)
