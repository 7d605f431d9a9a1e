"""Callbacks of Lightning's Trainer."""
