"""The tubes predicted in a clip: what an evaluation keeps of them, and what average precision is computed of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hqsam_lightning.data.segmentations import encode
from hqsam_lightning.data.tracks import AnnotatedClip, Track
from hqsam_lightning.evaluation.tube_ap import ClipTubes, Tube
from hqsam_lightning.metrics.tubes import TubeOverlap


class PredictedTubes:
    """N tubes of one clip and method, frame after frame."""

    def __init__(self) -> None:
        self._frames: list[list[dict[str, Any] | None]] = []
        self._areas: list[list[int]] = []
        self._overlap: TubeOverlap | None = None

    def add(self, masks: Tensor, overlap: TubeOverlap) -> None:
        """Takes the next frame.

        Args:
            masks: (N, H, W) bool.
            overlap: of these with the M true masks.
        """
        self._areas.append(masks.flatten(1).sum(1).tolist())
        self._frames.append([encode(mask) if mask.any() else None for mask in masks.cpu().numpy()])
        self._overlap = overlap if self._overlap is None else self._overlap + overlap

    def record(self, tracks: Sequence[Track]) -> dict[str, Any]:
        """Plain values: tubes as YouTube-VIS's results have them, their mean areas, and (N, M) IoUs with the true ones.

        Args:
            tracks: that prompted them; the tube of a crowd's own track is left out, as nobody asks for it.
        """
        assert self._overlap is not None
        kept = [place for place, track in enumerate(tracks) if not track.crowd]
        tubes = [
            {
                "category_id": tracks[place].category,
                "score": tracks[place].score,
                "segmentations": [of_frame[place] for of_frame in self._frames],
            }
            for place in kept
        ]
        ious = {"mask_iou": self._overlap.mask_iou(), "boundary_iou": self._overlap.boundary_iou()}
        areas = [mean_area([of_frame[place] for of_frame in self._areas]) for place in kept]
        return {"tracks": tubes, "areas": areas, **{name: value[kept].tolist() for name, value in ious.items()}}


def clip_tubes(record: Mapping[str, Any], clip: AnnotatedClip, key: str) -> ClipTubes:
    """What average precision takes of a clip.

    Args:
        record: of `PredictedTubes`.
        clip: with the true tubes.
        key: which IoUs of the record tubes are matched by, "mask_iou" or "boundary_iou".
    """
    found = zip(record["tracks"], record["areas"], strict=True)
    tracks = [Tube(track["category_id"], area, track["score"]) for track, area in found]
    targets = [Tube(track.category, _area(track, clip), crowd=track.crowd) for track in clip.tracks]
    return ClipTubes(tracks, targets, np.array(record[key], np.float64).reshape(len(tracks), len(targets)))


def mean_area(areas: Sequence[int]) -> float:
    """Mean of the areas of a tube's masks that are not empty, in pixels; 0 without any."""
    present = [area for area in areas if area]
    return sum(present) / len(present) if present else 0.0


def _area(track: Track, clip: AnnotatedClip) -> float:
    """What the file states, by which the official evaluation goes; otherwise that of the masks."""
    if track.area is not None:
        return track.area
    return mean_area([int(track.mask(frame, clip.size).sum()) for frame in range(len(clip.photos))])
