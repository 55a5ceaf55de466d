"""Which faces are good enough to learn from: `tag-rewards quality`.

`judge_images` writes parquet: the measures of each image, and by which limit it is rejected.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
