"""Random smooth masks."""

import cv2
import numpy as np
import torch


def blobs(height: int, width: int, seed: int, count: int = 4) -> torch.Tensor:
    """Random smooth masks, most of which touch a border, with a full and an empty one at the end."""
    noise = np.random.default_rng(seed).standard_normal((count, height, width))
    smooth = np.stack([cv2.GaussianBlur(n, (0, 0), 0.06 * max(height, width)) for n in noise])
    masks = smooth > np.median(smooth, axis=(1, 2), keepdims=True)
    extremes = [np.ones((1, height, width), bool), np.zeros((1, height, width), bool)]
    return torch.from_numpy(np.concatenate([masks, *extremes]))
