"""Trained heads in use: load one, prompt it, find everything in an image."""

from hqsam_lightning.inference.automatic import SamAutomaticMaskGenerator
from hqsam_lightning.inference.loading import sam_model_registry
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.predictor import SamPredictor

__all__ = ["HQSam", "SamAutomaticMaskGenerator", "SamPredictor", "sam_model_registry"]
