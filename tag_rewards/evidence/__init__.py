"""What a detector saw in a folder of images, as evidence parquet: `tag-rewards annotate`.

`annotate` writes it, resumable at any moment; `read_evidence` reads it; `prepare` takes it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
