"""Runs -> tables and pictures."""
