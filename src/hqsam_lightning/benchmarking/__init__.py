"""What `python -m hqsam_lightning.benchmark` measures: our procedures beside peers', alternating in one run."""
