"""One way to draw a face: its AUs, boxes, names and what a model claimed. `tag-rewards show`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
