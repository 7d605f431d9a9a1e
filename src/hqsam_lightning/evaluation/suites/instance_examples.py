"""Images with the boxes of their objects as prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from hqsam_lightning.cuts import PhotoToCut
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.data.segmentations import decode
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.suites.instance_sets import PromptedImage
from hqsam_lightning.types import Example, Prompt


class BoxExamples(Dataset[Example]):
    """Images with their boxes as prompts.

    Args:
        images: in an order that stays.
        frame: fits images, or the cut around each box, into the model's frame.
        prompts: name of the prompts.
        exif: whether photos are turned by their EXIF orientation.
    """

    def __init__(self, images: Sequence[PromptedImage], frame: Frame, prompts: str, exif: bool) -> None:
        self.images = images
        self.frame = frame
        self.prompts = prompts
        self.exif = exif

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        """Reads one image.

        Returns:
            An example with M empty masks, and M original ones where the boxes are those of true masks.

        Raises:
            DataError: the photo cannot be read, or has another size than its annotations.
        """
        known = self.images[index]
        image = read_image(known.path, self.exif)
        if image.shape[:2] != known.size:
            raise DataError(
                f"{known.path}: expected height x width {known.size[0]}x{known.size[1]} as the annotations say, got "
                f"{image.shape[0]}x{image.shape[1]}; use the photos that were annotated, or set suite.exif"
            )
        cuts, boxes = self.frame.show(torch.tensor([each.box for each in known.boxes]), known.size)
        is_whole = self.frame.margin is None
        masks = [decode(mask, known.size) for mask in known.masks]
        return Example(
            image=self.frame.fit(image) if is_whole else PhotoToCut(image, {self.prompts: cuts}, self.frame.fit),
            masks=torch.zeros(len(known.boxes), 1, 0, 0),
            sample_id=known.sample_id,
            dataset=known.dataset,
            prompts={self.prompts: [Prompt(box=box) for box in boxes]},
            original_masks=torch.from_numpy(np.stack(masks)) if masks else None,
        )
