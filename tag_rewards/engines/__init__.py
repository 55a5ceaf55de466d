"""Engines that answer prompts about images: an endpoint, vLLM in this process, or Ray Data.

`make_engine` gives one by name; all take `Request`s and give a `Reply` for each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
