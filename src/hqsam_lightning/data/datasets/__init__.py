"""Sets of samples, one class per file: `PhotoFolder(root)[0]` reads the first photo and its masks."""

from hqsam_lightning.data.datasets.annotated import AnnotatedPhotos
from hqsam_lightning.data.datasets.base import SampleSet
from hqsam_lightning.data.datasets.coco import CocoInstances
from hqsam_lightning.data.datasets.merged import MergedSets
from hqsam_lightning.data.datasets.photo_folder import PhotoFolder
from hqsam_lightning.data.datasets.photo_pairs import PhotoPairs
from hqsam_lightning.data.datasets.sa1b import Sa1b
from hqsam_lightning.data.datasets.scenes import Scenes

__all__ = ["AnnotatedPhotos", "CocoInstances", "MergedSets", "PhotoFolder", "PhotoPairs", "Sa1b", "SampleSet", "Scenes"]
