"""What a run's data is, in a few values: a resumed run continues with the images that it began with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.sets import DataSets

ROLES = ("train", "validation")
THREADS = 8


def fingerprint(sets: DataSets) -> dict[str, dict[str, dict[str, Any]]]:
    """Fingerprints the sets as plain values; no image is read, see `SampleSet.identify`.

    Returns:
        For "train" and "validation" and each set by name: its "count" of samples, and the SHA-256 of its samples'
        "names" and of its whole "content", in order.

    Raises:
        DataError: a file is missing.
    """
    train: dict[str, dict[str, Any]] = {}
    for samples, _ in sets.train:
        dataset, facts = _facts(samples)
        train[dataset if dataset not in train else f"{dataset} ({len(train)})"] = facts
    return {"train": train, "validation": {name: _facts(samples)[1] for name, samples in sets.validation.items()}}


def _facts(samples: SampleSet) -> tuple[str, dict[str, Any]]:
    """The name of a set, and what is kept of it."""
    dataset, names, content = "", hashlib.sha256(), hashlib.sha256()
    # the time goes into opening files, on a network's disk above all
    with ThreadPoolExecutor(THREADS) as pool:
        for identity in pool.map(samples.identify, range(len(samples))):
            dataset = identity.dataset
            names.update(f"{identity.sample_id}\x1f".encode("utf-8", "surrogatepass"))
            content.update(f"{identity.sample_id}\x1f{identity.content}\x1f".encode("utf-8", "surrogatepass"))
    return dataset, {"count": len(samples), "names": names.hexdigest(), "content": content.hexdigest()}


def changes(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Describes what differs between two fingerprints, a sentence per set; empty where nothing does."""
    return [
        f"{role} set {name}: {change}"
        for role in ROLES
        for name in sorted({*before[role], *now[role]})
        if (change := _change(before[role].get(name), now[role].get(name)))
    ]


def _change(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    if before == now:
        return None
    if before is None or now is None:
        return "is new" if before is None else "is gone"
    if before["count"] != now["count"]:
        return f"{before['count']} images before, {now['count']} now"
    if before["names"] != now["names"]:
        return f"{now['count']} images as before, but others, or in another order"
    return f"the same {now['count']} names, but files of other content"
