"""Explicit randomness: every draw comes from a seed derived from what it is for, never from global state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*keys: int | str) -> int:
    """Mixes keys such as (seed, epoch, sample id, purpose) into one seed in [0, 2**63)."""
    digest = hashlib.blake2b("\x1f".join(str(key) for key in keys).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def derive_rng(*keys: int | str) -> np.random.Generator:
    """A NumPy generator seeded with `derive_seed` of the keys."""
    return np.random.default_rng(derive_seed(*keys))


@contextmanager
def seeded_init(*keys: int | str) -> Iterator[None]:
    """Modules built inside, on the CPU, get weights that depend on the keys alone; no global generator changes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(*keys))
        yield
