"""Rewards that tie a vision-language model's reasoning over Action Units to the face."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
