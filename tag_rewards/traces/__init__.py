"""Traces at scale, `tag-rewards traces`: a model writes them, the rewards verify them.

A ledger keeps every attempt with its verdict, and SFT trains on what is exported from it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
