"""What the events of the page do: a session and what the browser says -> a new session, and what is shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqsam_lightning.errors import PromptError, choice_error
from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.interactive.photos import Photo, read_upload
from hqsam_lightning.interactive.pictures import VIEWS, Comparison, draw_prompts
from hqsam_lightning.interactive.segmenter import HQ_SAM, Segmenter
from hqsam_lightning.interactive.session import Session, as_prompt

HINT = "Choose an example, or drop a photo of yours on the page."


@dataclass(frozen=True)
class Limits:
    """What the demo accepts.

    Attributes:
        upload_megabytes: of a file.
        photo_megapixels: of a photo.
    """

    upload_megabytes: int
    photo_megapixels: int


@dataclass(frozen=True)
class Shown:
    """What the page shows of a session.

    Attributes:
        photo: (H, W, 3) uint8, the photo with its prompts; None without a photo.
        comparison: what is under the slider; None without a prompt.
        status: a line of Markdown.
    """

    photo: np.ndarray | None
    comparison: Comparison | None
    status: str


@dataclass(frozen=True)
class Actions:
    """The events of the page.

    Attributes:
        segmenter: the models.
        examples: photos to choose from.
        folder: of uploads.
        limits: of uploads.
    """

    segmenter: Segmenter
    examples: Sequence[Photo]
    folder: Path
    limits: Limits

    @property
    def views(self) -> list[str]:
        """Ways to look at the masks; there is a difference where there are two models."""
        return [name for name in VIEWS if name != "difference" or HQ_SAM in self.segmenter.names]

    def choose(self, index: object) -> Session:
        """Opens an example by its number, as the browser says.

        Raises:
            PromptError: there is none.
        """
        if type(index) is not int or not 0 <= index < len(self.examples):
            raise PromptError(f"expected one of the {len(self.examples)} examples; choose one of the pictures")
        return Session(self.examples[index])

    def open(self, path: object) -> Session:
        """Opens a photo that was uploaded, by its path as the browser says.

        Raises:
            DataError: see `read_upload`.
        """
        return Session(read_upload(path, self.folder, self.limits.photo_megapixels * 10**6))

    def refuse(self, size: object) -> None:
        """Explains why a file was not uploaded.

        Raises:
            PromptError: always.
        """
        found = f"{size / 1e6:.1f}" if isinstance(size, int) else "more"
        raise PromptError(
            f"expected a photo of at most {self.limits.upload_megabytes} MB; got {found} MB, or the upload was "
            "interrupted; scale the photo down, or try again"
        )

    def prompt(self, session: Session, start: object, end: object, subtracts: bool) -> Session:
        """Adds what a pointer drew, see `as_prompt`."""
        return session.add(as_prompt(start, end, subtracts))

    def show(self, session: Session, view: str) -> Shown:
        """Draws a session.

        Args:
            session: of a person.
            view: one of `views`.

        Raises:
            ConfigError: there is no such view.
        """
        if view not in self.views:
            raise choice_error("view", view, self.views)
        photo = session.photo
        if photo is None:
            return Shown(None, None, HINT)
        picture = draw_prompts(photo.shown, session)
        height, width = photo.size
        facts = [f"**{escape_markdown(photo.name)}**, {width} x {height} pixels"]
        if not session.prompts:
            hint = "Click on the object, or drag a box around it; the first click takes longest."
            return Shown(picture, None, f"{facts[0]}. {hint}")
        begun = time.perf_counter()
        logits = self.segmenter.segment(session, (photo.shown.shape[0], photo.shown.shape[1]))
        facts.append(f"masks in {time.perf_counter() - begun:.2f} s")
        masks = {name: each > 0 for name, each in logits.items()}
        if len(masks) > 1:
            facts.append(f"IoU of {' and '.join(masks)}: {_iou(*masks.values()):.2f}")
        comparison = VIEWS[view](photo.shown, masks)
        facts += [comparison.legend] if comparison.legend else []
        return Shown(picture, comparison, "; ".join(facts) + ".")

    def logits_of(self, session: Session) -> np.ndarray:
        """(H0, W0) logits of the head's mask, or of plain SAM's where there is no head, at the photo's size."""
        return list(self.segmenter.segment(session).values())[-1]


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks; two empty ones are equal."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0
