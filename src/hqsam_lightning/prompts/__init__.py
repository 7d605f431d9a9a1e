"""(mask, generator) -> prompt: boxes, points and degraded masks."""

from hqsam_lightning.prompts.grouping import group_prompts
from hqsam_lightning.prompts.mix import PromptMix

__all__ = ["PromptMix", "group_prompts"]
