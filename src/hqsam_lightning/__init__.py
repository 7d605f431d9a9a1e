"""HQ-SAM (Segment Anything in High Quality, NeurIPS 2023) as a Lightning + Hydra experiment framework."""

import os

# albumentations asks PyPI for a newer version when it is imported; a training run should not.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
