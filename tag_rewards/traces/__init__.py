"""Traces at scale, `tag-rewards traces`: a model writes them, the rewards verify them.

`build` asks and records, `status` says how far it is, and `export` writes what SFT trains on; a
ledger keeps every attempt with its verdict.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
