"""The web demo: photos, prompts, masks and pictures of a person at a browser, and the page that shows them."""

from hqsam_lightning.interactive.photos import Photo
from hqsam_lightning.interactive.segmenter import Segmenter
from hqsam_lightning.interactive.session import Box, Click, Session

__all__ = ["Box", "Click", "Photo", "Segmenter", "Session"]
