"""Files and procedural scenes -> samples -> augmented, prompted batches."""

from hqsam_lightning.data.datamodule import PromptedDataModule
from hqsam_lightning.data.photos import shipped_photos
from hqsam_lightning.data.self_masked import shipped_self_masked
from hqsam_lightning.data.sets import DataSets, also_validate_on, coco_sets, folder_sets, sa1b_sets, synthetic_sets
from hqsam_lightning.data.transforms import Augmentation

__all__ = [
    "Augmentation",
    "DataSets",
    "PromptedDataModule",
    "also_validate_on",
    "coco_sets",
    "folder_sets",
    "sa1b_sets",
    "shipped_photos",
    "shipped_self_masked",
    "synthetic_sets",
]
