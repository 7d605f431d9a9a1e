"""Hyperparameter searches: Optuna's study behind Hydra's sweeper."""
