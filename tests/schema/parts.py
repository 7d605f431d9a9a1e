"""Code as a user writes it, for `_target_`s of the tests."""

from collections.abc import Sequence
from typing import Literal

from lightning.pytorch import Callback
from torch import nn

from hqsam_lightning.heads import HQHead


class OwnLoss(nn.Module):
    def __init__(
        self, sharpness: float, levels: Sequence[int] = (1, 2), kind: Literal["soft", "hard"] = "soft"
    ) -> None:
        super().__init__()
        self.sharpness = sharpness


class HeadWithoutSeed(HQHead):
    def __init__(self, sam: object) -> None:
        super().__init__(sam)


class BrokenHead(nn.Module):
    def __init__(self, sam: object, seed: int) -> None:
        super().__init__()
        self.build(seed)

    def build(self, size: int) -> None:
        print(size.shape)


class OwnNorm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()


NOT_CALLABLE = 3


def make_callback() -> Callback:
    return Callback()
