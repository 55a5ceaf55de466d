"""Which faces are good enough to learn from: `tag-rewards quality`.

Measures of each image as columns of a parquet file, limits on them, and the rejected.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
