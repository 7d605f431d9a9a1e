"""Zoom: each object is predicted in the cut of its image around its box, at the image's own resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hqsam_lightning.checks import arguments, integer, number
from hqsam_lightning.data.framing import Pad
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.objects import ObjectPrompt, Segment
from hqsam_lightning.inference.prompts import require_image
from hqsam_lightning.inference.rows import decode_rows, encode_fitted, fit, restore


class ZoomPredictor:
    """Finds the masks of boxes, each in a cut of its own: one call of the encoder per object instead of one per image.

    Args:
        model: to predict with.
        margin: what a cut has on each side of its box, see `hqsam_lightning.cuts.cut_around`.
        batch_size: cuts per call of the encoder.
        multimask_output: of three masks take the best, for prompts that are ambiguous.

    Raises:
        ConfigError: a number is out of its range.
    """

    @arguments("", margin=number(0, 10), batch_size=integer(1))
    def __init__(self, model: HQSam, margin: float = 0.25, batch_size: int = 4, multimask_output: bool = False) -> None:
        self.model, self.margin = model, margin
        self.batch_size, self.multimask_output = batch_size, multimask_output
        self._frame = Pad(model.image_size)

    def predict(self, image: np.ndarray, prompts: Sequence[ObjectPrompt]) -> Iterator[Segment]:
        """Finds a mask for each prompt, one after the other; it is background outside of the cut.

        Args:
            image: (H0, W0, 3) uint8 RGB.
            prompts: in pixels of the image, each with a box or a mask; see `ObjectPrompt.cut` and `ObjectPrompt.within`
                for what is done with points beside it.

        Raises:
            PromptError: the image or a prompt cannot be used.
        """
        size = require_image(image).shape[:2]
        for prompt in prompts:
            prompt.check(size)
        cuts = [prompt.cut(size, self.margin) for prompt in prompts]
        side = self.model.sam.mask_input_size
        for start in range(0, len(prompts), self.batch_size):
            shown = list(zip(prompts, cuts, strict=True))[start : start + self.batch_size]
            features = encode_fitted(self.model, [fit(cut.of(image), self._frame) for _, cut in shown])
            framed = [prompt.within(cut).in_frame(cut.size, self._frame, side) for prompt, cut in shown]
            rows = decode_rows(self.model, features, framed, range(len(shown)), len(shown), self.multimask_output)
            for (_, cut), (logits, score) in zip(shown, rows, strict=True):
                yield Segment.from_logits(restore(self.model, logits, cut.size), score, cut.left, cut.top)
