"""Masks of folders of photos: what is read, what prompts each photo, what is written, and what is done already."""
