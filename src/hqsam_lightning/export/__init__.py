"""Models as files for other programs, each compared with the model before it is in place."""

from hqsam_lightning.export.exporting import FORMATS, Exported, export_model
from hqsam_lightning.export.transformers_folder import pass_image_tokens

__all__ = ["FORMATS", "Exported", "export_model", "pass_image_tokens"]
