"""Pictures of validation masks that a rule chooses, never a hand: photo with its box prompt, ground truth, masks."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.loggers import WandbLogger
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from hqsam_lightning.checks import arguments, integer, mapping_of, optional, text
from hqsam_lightning.cuts import Cut, CutPhotos
from hqsam_lightning.data.overlay import hatch
from hqsam_lightning.errors import choice_error
from hqsam_lightning.escaping import plain_text, printable
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.table import BASELINE, BASELINE_ROW, MASK, Row, is_row
from hqsam_lightning.metrics import Metric
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.seeding import derive_seed
from hqsam_lightning.shapes import is_thin
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.types import Batch

MASK_COLOUR = np.array([30, 144, 255])
LONGEST_SIDE = 512

Rank = tuple[float, str, int]


@dataclass
class Panel:
    """One row of the picture.

    Attributes:
        title: the image, which of its masks, and how thin that is; plain text of two lines.
        image: (h, w, 3) uint8, at the photo's aspect.
        box: xyxy box prompt in pixels of the image, or None.
        masks: (h, w) float32 share of each pixel that is mask, by column title, ground truth first.
        captions: what a mask's column title is followed by.
        ignore: (h, w) bool, pixels that hold any that is not scored, hatched over every mask; None for none.
    """

    title: str
    image: np.ndarray
    box: np.ndarray | None
    masks: dict[str, np.ndarray]
    captions: dict[str, str]
    ignore: np.ndarray | None = None


RULES = ("difference", "gain", "loss", "random")


class ImagePanels(L.Callback):
    """Keeps some of each validation set's masks, with the main prompts; W&B gets them at every validation.

    Masks are chosen by how much better a metric of the judged variant is than SAM's: the greatest difference either
    way, gain, or loss, or at random. On several processes each chooses from its own share of the images, and the
    pictures show the first process's.

    Args:
        rules: panels per validation set by each rule, of `RULES`; shown in this order.
        metric: name of the metric.
        seed: of the random ones.
        variant: the judged one; None is the first that is not plain SAM.

    Raises:
        ConfigError: for an unknown rule; for an unknown metric or variant when training begins.
    """

    @arguments("callbacks.panels", rules=mapping_of(integer(0), RULES), seed=integer(0), variant=optional(text(1)))
    def __init__(self, rules: Mapping[str, int], metric: str, seed: int = 0, variant: str | None = None) -> None:
        self.rules = dict(rules)
        self.metric = metric
        self.seed = seed
        self.variant = variant
        self._kept: dict[tuple[str, str], list[tuple[Rank, Panel]]] = {}
        self._failed = False

    @property
    def panels(self) -> list[Panel]:
        """The panels of all sets, in each by rule, the first chosen first."""
        sets = dict.fromkeys(dataset for dataset, _ in self._kept)
        return [panel for dataset in sets for rule in self.rules for _, panel in self._kept.get((dataset, rule), [])]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Makes sure that there are such a metric and variant, before anything is trained."""
        assert isinstance(pl_module, HQSamModule)
        if self.metric not in pl_module.scorer.metrics:
            raise choice_error("callbacks.panels.metric", self.metric, sorted(pl_module.scorer.metrics))
        self.judged(pl_module)

    def judged(self, module: HQSamModule) -> Row:
        """The judged variant and the output that it is judged by.

        Raises:
            ConfigError: where the module has no such variant.
        """
        names = [name for name in module.heads if name != BASELINE]
        name = names[0] if self.variant is None else self.variant
        if name not in names:
            raise choice_error("callbacks.panels.variant", name, names)
        return name, module.output_of(name)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins a new set of panels."""
        self._kept = {}
        self._failed = False

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Takes the masks that come before those kept so far by a rule; equal ones in the order of their ids."""
        if self._failed:
            return
        assert isinstance(pl_module, HQSamModule)
        self._failed = True
        with decoration("callbacks.panels, making a panel,"):
            self._take(pl_module, outputs, batch)
            self._failed = False

    def _take(self, module: HQSamModule, outputs: Any, batch: Batch) -> None:
        rows = [(variant, module.output_of(variant)) for variant in module.heads]
        shown = {name: outputs["logits"][name] for name in rows}
        judged, metrics = self.judged(module), module.scorer.metrics
        sign = 1 if metrics[self.metric].greater_is_better else -1
        # a mask's lines lie together, in the order of the batch's rows
        for row, (mask, lines) in enumerate(outputs["scores"].groupby([*MASK], sort=False)):
            _, dataset, sample, index, prompts = mask
            if prompts != module.scorer.prompts[0]:
                continue
            of_metric = lines[lines["metric"] == self.metric]
            values = [float(of_metric.loc[is_row(of_metric, name), "value"].iloc[0]) for name in (judged, BASELINE_ROW)]
            gain = sign * (values[0] - values[1])
            drawn = derive_seed(self.seed, "panel", sample, index)
            # the least come first
            ranks = {"difference": -abs(gain), "gain": -gain, "loss": gain, "random": drawn}
            for rule, count in self.rules.items():
                rank = (ranks[rule], sample, index)
                kept = self._kept.setdefault((dataset, rule), [])
                place = bisect(kept, rank, key=itemgetter(0))
                if place < count:
                    kept.insert(place, (rank, self.make(module, batch, row, shown, lines)))
                    del kept[count:]

    def make(
        self, module: HQSamModule, batch: Batch, row: int, shown: dict[Row, Tensor], scored: pd.DataFrame
    ) -> Panel:
        """Makes the panel of one mask, see `make_panel`."""
        return make_panel(batch, row, shown, scored, module.scorer)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the panels to W&B."""
        if trainer.sanity_checking or not self.panels:
            return
        with decoration("callbacks.panels, logging the panels,"):
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image("val/panels", [_to_array(draw_panels(self.panels))])


def make_panel(batch: Batch, row: int, logits: dict[Row, Tensor], scored: pd.DataFrame, scorer: Scorer) -> Panel:
    """Makes the panel of one mask of a validation batch: of its photo, or of the cut that its prompt was shown.

    Args:
        batch: with original masks.
        row: which of the batch's N rows.
        logits: (N, 1, 4h, 4w) logits of the methods to show.
        scored: the mask's lines of the table.
        scorer: that scored it.
    """
    assert batch.original_masks is not None
    truth = batch.original_masks[row]
    cut = batch.cut_of(row) or Cut(0, 0, truth.shape[1], truth.shape[0])
    scale = min(1.0, LONGEST_SIDE / max(cut.size))
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    frame = image_of(batch, row).permute(1, 2, 0).cpu().numpy()
    masks = {"ground truth": cut.of(truth)}
    masks |= {_title(name): scorer.frame.restore(values[row], cut.size)[0] for name, values in logits.items()}
    small = {title: _shrink(mask, size) for title, mask in masks.items()}
    prompted, box = batch.box_of(row), None
    if prompted is not None:
        box = prompted.cpu().numpy() * np.tile(np.array(size) / np.array(frame.shape[1::-1]), 2)
    image = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    facts = scored.iloc[0]
    kind = "thin" if is_thin(facts["thinness"]) else "solid"
    title = f"{printable(facts['sample'])}\nmask {facts['mask']}, {kind} ({facts['thinness']:.2f})"
    captions = {_title(name): _caption(scored[is_row(scored, name)], scorer.metrics) for name in logits}
    ignore = batch.original_ignore_of(row)
    return Panel(title, image, box, small, captions, None if ignore is None else _shrink(cut.of(ignore), size) > 0)


def image_of(batch: Batch, row: int) -> Tensor:
    """(3, H, W) in the model's input frame: the image, or the cut, that one of a batch's N rows is shown."""
    if isinstance(batch.images, CutPhotos):
        return batch.images.part(row, row + 1).frames()[0].to(batch.image_index.device)
    return batch.pixels[batch.image_index[row]]


def draw_panels(panels: list[Panel]) -> Figure:
    """Draws a row per panel and a column per mask."""
    titles = list(panels[0].masks)
    figure = Figure(figsize=(2.4 * (len(titles) + 1), 2.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(titles) + 1, squeeze=False)
    for panel, row in zip(panels, axes, strict=True):
        row[0].imshow(panel.image)
        row[0].set_title(_literal(panel.title), fontsize=8)
        if panel.box is not None:
            x0, y0, x1, y1 = panel.box
            row[0].add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="lime", linewidth=1.5))
        for axis, title in zip(row[1:], titles, strict=True):
            overlay = _overlay(panel.image, panel.masks[title])
            axis.imshow(overlay if panel.ignore is None else hatch(overlay, panel.ignore))
            axis.set_title(_literal("\n".join([title, panel.captions.get(title, "")])), fontsize=8)
        for axis in row:
            axis.set_axis_off()
    return figure


def save_panels(panels: list[Panel], path: Path) -> None:
    """Writes the picture as PNG."""
    draw_panels(panels).savefig(path, dpi=110)


def _literal(text: str) -> str:
    return "\n".join(plain_text(line) for line in text.split("\n"))


def _title(name: Row) -> str:
    variant, output = name
    if variant == BASELINE:
        return "SAM"
    return f"{printable(variant)} ({'HQ logits' if output == 'hq' else 'SAM + HQ'})"


def _caption(lines: pd.DataFrame, metrics: Mapping[str, Metric]) -> str:
    values = zip(lines["metric"], lines["value"], strict=True)
    texts = [f"{printable(name)} {metrics[name].show(value)}" for name, value in values]
    # a column has room for two
    return "\n".join(", ".join(texts[start : start + 2]) for start in range(0, len(texts), 2))


def _shrink(mask: Tensor, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.cpu().numpy().astype(np.float32), size, interpolation=cv2.INTER_AREA)


def _overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    alpha = mask[..., None]
    return (alpha * (0.45 * image + 0.55 * MASK_COLOUR) + (1 - alpha) * 0.35 * image).astype(np.uint8)


def _to_array(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
