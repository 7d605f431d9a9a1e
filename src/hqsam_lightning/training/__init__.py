"""The LightningModule, checkpoints, callbacks and loggers."""
