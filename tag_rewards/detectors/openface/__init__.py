"""OpenFace 2.x: its program, a folder of its CSV files, and the CSV format itself."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
