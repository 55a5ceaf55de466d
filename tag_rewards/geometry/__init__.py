"""Boxes, coordinate spaces, landmarks, and the regions of Action Units on a face.

`boxes`, `spaces` and `matching` know nothing of faces; `landmarks` and `regions` do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
