"""Tube AP against a plain computation of the definition, with tubes that are compared pixel by pixel."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch

from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.tube_ap import AREAS, ClipTubes, Tube, tube_average_precision
from hqsam_lightning.metrics.tubes import frame_overlap

THRESHOLDS = np.linspace(0.5, 0.95, 10)


def matches(clip: ClipTubes, category: int, threshold: float, area: tuple[float, float], most: int) -> list[tuple]:
    """(score, hit) of each track that counts, as COCO matches: greedily, by falling score; and the missed targets."""

    def inside(tube: Tube) -> bool:
        return area[0] <= tube.area <= area[1]

    rows = [row for row, tube in enumerate(clip.tracks) if tube.category == category]
    rows = sorted(rows, key=lambda row: -clip.tracks[row].score)[:most]
    columns = [column for column, tube in enumerate(clip.targets) if tube.category == category]
    ignored = {c: clip.targets[c].crowd or not inside(clip.targets[c]) for c in columns}
    taken: set[int] = set()
    found = []
    for row in rows:
        free = [c for c in columns if c not in taken or clip.targets[c].crowd]
        good = [c for c in free if clip.ious[row, c] >= threshold]
        # counted targets go before ignored ones; of equal IoUs the later one is taken
        best = max(good, key=lambda c: (not ignored[c], clip.ious[row, c], c), default=None)
        if best is not None:
            taken.add(best)
        if ignored[best] if best is not None else not inside(clip.tracks[row]):
            continue
        found.append((clip.tracks[row].score, best is not None))
    return found


def reference(clips: list[ClipTubes], threshold: float, area: tuple[float, float], most: int) -> tuple[float, float]:
    """(AP, recall) at one threshold, the mean over categories with a target that counts."""
    precisions, recalls = [], []
    for category in sorted({tube.category for clip in clips for tube in clip.targets}):
        counted = sum(
            tube.category == category and not tube.crowd and area[0] <= tube.area <= area[1]
            for clip in clips
            for tube in clip.targets
        )
        if not counted:
            continue
        found = [pair for clip in clips for pair in matches(clip, category, threshold, area, most)]
        hits = np.cumsum([hit for _, hit in sorted(found, key=lambda pair: -pair[0])] or [0])
        precision = hits / np.arange(1, len(hits) + 1)
        recall = hits / counted
        # recall r needs the share r of the targets; 101 levels
        at = [precision[recall >= level].max(initial=0) for level in np.linspace(0, 1, 101)]
        precisions.append(np.mean(at))
        recalls.append(hits[-1] / counted)
    return float(np.mean(precisions)), float(np.mean(recalls))


def random_clips(seed: int, count: int = 6) -> list[ClipTubes]:
    """Clips with crowds, three categories (one without targets), all sizes, and tracks that are near to targets."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        targets = [
            Tube(int(rng.integers(1, 3)), float(rng.uniform(10, 400) ** 2), crowd=rng.random() < 0.15)
            for _ in range(rng.integers(0, 6))
        ]
        tracks = [
            Tube(int(rng.integers(1, 4)), float(rng.uniform(10, 400) ** 2), float(np.round(rng.random(), 3)))
            for _ in range(rng.integers(0, 15))
        ]
        clips.append(ClipTubes(tracks, targets, rng.beta(2, 1, (len(tracks), len(targets)))))
    return clips


@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_the_definition(seed: int) -> None:
    clips = random_clips(seed)
    every = (0.0, 1e10)
    by_threshold = [reference(clips, threshold, every, 100) for threshold in THRESHOLDS]
    expected = {"AP": np.mean([ap for ap, _ in by_threshold]), "AP50": by_threshold[0][0], "AP75": by_threshold[5][0]}
    for name, area in AREAS.items():
        expected[f"AP_{name}"] = np.mean([reference(clips, threshold, tuple(area), 100)[0] for threshold in THRESHOLDS])
    for most in (1, 10, 100):
        expected[f"AR{most}"] = np.mean([reference(clips, threshold, every, most)[1] for threshold in THRESHOLDS])
    assert tube_average_precision(clips) == pytest.approx(expected, abs=1e-9)


def plain_iou(pred: np.ndarray, target: np.ndarray) -> float:
    union = (pred | target).sum()
    return float((pred & target).sum() / union) if union else 0.0


def edges(volume: np.ndarray) -> np.ndarray:
    """Pixels of each frame with background within one pixel, which is the boundary of frames this small."""
    padded = np.pad(volume, ((0, 0), (1, 1), (1, 1)))
    height, width = volume.shape[1:]
    around = [padded[:, dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    return volume & ~np.logical_and.reduce(around)


def disc(x: float, y: float, radius: float, first: int) -> np.ndarray:
    """(4, 24, 30) bool: a disc that moves right, from its first frame on."""
    rows, columns = np.mgrid[:24, :30]
    inside = [(rows - y) ** 2 + (columns - x - 2 * frame) ** 2 <= radius**2 for frame in range(4)]
    return np.stack([mask & (frame >= first) for frame, mask in enumerate(inside)])


def volumes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(4, 4, 24, 30) tracks and (3, 4, 24, 30) targets: shifted, one late, the last one the first target's."""
    where = [(rng.uniform(4, 20), rng.uniform(6, 18), rng.uniform(4, 7)) for _ in range(3)]
    targets = np.stack([disc(*each, first) for first, each in enumerate(where)])
    shifts = rng.uniform(-0.5, 0.5, (3, 2))
    moved = [disc(x + dx, y + dy, r, 1) for (x, y, r), (dx, dy) in zip(where, shifts, strict=True)]
    return np.stack([*moved, targets[0]]), targets


@pytest.mark.parametrize("boundary", [False, True])
def test_volumes_against_brute_force(boundary: bool) -> None:
    rng = np.random.default_rng(5)
    clips, plain = [], []
    for _ in range(3):
        tracks, targets = volumes(rng)
        known = [Tube(1 + number % 2, 50.0) for number in range(3)]
        found = [Tube(1 + number % 2, 50.0, float(rng.random())) for number in range(4)]
        frames = zip(torch.from_numpy(tracks).unbind(1), torch.from_numpy(targets).unbind(1), strict=True)
        overlap = reduce(add, (frame_overlap(*frame) for frame in frames))
        clips.append(ClipTubes(found, known, (overlap.boundary_iou() if boundary else overlap.mask_iou()).numpy()))
        of_masks = np.array([[plain_iou(track, target) for target in targets] for track in tracks])
        of_edges = np.array([[plain_iou(edges(track), edges(target)) for target in targets] for track in tracks])
        plain.append(ClipTubes(found, known, np.minimum(of_masks, of_edges) if boundary else of_masks))
    expected = [reference(plain, threshold, (0.0, 1e10), 100)[0] for threshold in THRESHOLDS]
    values = tube_average_precision(clips)
    assert values["AP"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert (values["AP50"], values["AP75"]) == pytest.approx((expected[0], expected[5]), abs=1e-9)
    assert 0.05 < values["AP"] < 0.95


def test_perfect_tracks_have_an_ap_of_one_and_swapped_ones_of_zero() -> None:
    targets = [Tube(1, 100.0), Tube(2, 100.0)]
    clips = [ClipTubes([replace(target, score=0.5) for target in targets], targets, np.eye(2))]
    assert set(tube_average_precision(clips).values()) == {1.0}
    swapped = [ClipTubes(clips[0].tracks[::-1], targets, np.zeros((2, 2)))]
    assert set(tube_average_precision(swapped).values()) == {0.0}


def test_a_clip_without_tracks_and_one_without_targets_count() -> None:
    target = Tube(1, 100.0)
    found = ClipTubes([replace(target, score=0.5)], [target], np.ones((1, 1)))
    missed = ClipTubes([], [target], np.ones((0, 1)))
    invented = ClipTubes([replace(target, score=0.9)], [], np.ones((1, 0)))
    assert tube_average_precision([found, missed])["AR100"] == 0.5
    assert tube_average_precision([found, invented])["AP"] == 0.5
    assert "AP_L" not in tube_average_precision([found])


def test_a_set_without_objects_is_refused() -> None:
    with pytest.raises(DataError, match="at least one annotated object that is no crowd"):
        tube_average_precision([ClipTubes([Tube(1, 5.0, 0.5)], [Tube(1, 5.0, crowd=True)], np.ones((1, 1)))])
