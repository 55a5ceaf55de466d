"""What of the project runs here, and whether a model and its data agree: `tag-rewards doctor`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
