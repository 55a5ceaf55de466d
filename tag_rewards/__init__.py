"""Rewards that tie a vision-language model's reasoning over Action Units to the face."""

__version__ = "0.1.0"
