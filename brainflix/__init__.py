"""Reconstruct the videos people watched from their fMRI, after "Brain Netflix" (ECCV 2024)."""

__version__ = "0.1.0"
