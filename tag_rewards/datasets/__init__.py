"""Datasets of facial expressions, as their authors hand them out, under named protocols.

`load_protocol` reads and counts one; every reader gives a `Dataset` of `FaceSample`s. Made faces
need no download. On the command line: `tag-rewards datasets`, `tag-rewards made-faces`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
