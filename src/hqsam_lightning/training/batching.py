"""Spreads the recipe's batch over whatever devices there are."""

from __future__ import annotations

from dataclasses import dataclass

from hqsam_lightning.errors import ConfigError


@dataclass(frozen=True)
class BatchPlan:
    """How one optimiser step's images are spread.

    Attributes:
        total: images per step over all devices.
        world_size: number of devices.
        per_device: images per device and forward pass.
        accumulate: forward passes whose gradients are added up.
    """

    total: int
    world_size: int
    per_device: int
    accumulate: int

    def describe(self) -> str:
        """The sentence that the log gives."""
        return (
            f"batch of {self.total} images per step = {self.world_size} device(s) x {self.per_device} image(s) "
            f"x {self.accumulate} accumulated pass(es)"
        )


def plan_batch(total: int, max_per_device: int, world_size: int) -> BatchPlan:
    """Keeps the total batch: fewer devices accumulate, more devices take fewer images each.

    Raises:
        ConfigError: for a total that is no multiple of the number of devices.
    """
    if total % world_size:
        raise ConfigError(
            f"batch.total: expected a multiple of the {world_size} devices; got {total}; "
            "change batch.total, trainer.devices or trainer.num_nodes"
        )
    share = total // world_size
    per_device = next(size for size in range(min(share, max_per_device), 0, -1) if share % size == 0)
    return BatchPlan(total, world_size, per_device, share // per_device)
