"""Photos with their prompts, read by the loading processes; what cannot be read is passed on as a message."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.framing import Pad
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.errors import HQSamError
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.inference.rows import fit
from hqsam_lightning.prediction.prompts import PromptedPhotos, Wanted
from hqsam_lightning.types import Prompt


@dataclass
class Loaded:
    """A photo, or why there is none.

    Attributes:
        index: of the photo.
        problem: why it cannot be used; all else is then empty.
        size: (H0, W0).
        image: (H0, W0, 3) uint8 RGB, where it is asked for.
        fitted: (3, h, w) uint8, see `hqsam_lightning.inference.rows.fit`, where the whole photo is encoded.
        objects: prompts in pixels of the photo, where it is not.
        prompts: in pixels of the input frame, where it is.
    """

    index: int
    problem: str | None = None
    size: tuple[int, int] = (0, 0)
    image: np.ndarray | None = None
    fitted: Tensor | None = None
    objects: list[ObjectPrompt] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)


class PhotoLoading(Dataset[Loaded]):
    """Reads photos and prompts by index.

    Args:
        prompted: the photos.
        image_size: side of the input frame.
        mask_input_size: 4h = 4w of the SAM.
        is_whole: whether a photo is encoded as a whole, for its prompts.
        needs_image: whether the photo's own pixels are needed later.
        margin: of the cuts that objects are shown; None shows them more of the photo.
    """

    def __init__(
        self,
        prompted: PromptedPhotos,
        image_size: int,
        mask_input_size: int,
        is_whole: bool,
        needs_image: bool,
        margin: float | None = None,
    ) -> None:
        self.prompted = prompted
        self.frame, self.mask_input_size = Pad(image_size), mask_input_size
        self.is_whole, self.needs_image, self.margin = is_whole, needs_image, margin

    def __len__(self) -> int:
        return len(self.prompted.photos)

    def __getitem__(self, index: int) -> Loaded:
        """Reads one photo."""
        photo = self.prompted.photos[index]
        try:
            image = read_image(photo.path)
            objects = self._wanted(photo.name).prompts(self.prompted.values)
            for each in objects:
                each.check(image.shape)
                if self.margin is not None:
                    each.cut(image.shape, self.margin)
        except HQSamError as error:
            return Loaded(index, str(error))
        loaded = Loaded(index, size=(image.shape[0], image.shape[1]), image=image if self.needs_image else None)
        if self.is_whole:
            loaded.fitted = fit(image, self.frame)
            loaded.prompts = [each.in_frame(image.shape, self.frame, self.mask_input_size) for each in objects]
        else:
            loaded.objects = objects
        return loaded

    def _wanted(self, name: str) -> Wanted:
        return Wanted() if self.prompted.wanted is None else self.prompted.wanted[name]


def together(batch: list[Loaded]) -> list[Loaded]:
    """Keeps a batch as it is."""
    return batch
