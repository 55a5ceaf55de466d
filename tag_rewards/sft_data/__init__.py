"""What supervised fine-tuning trains on, mixed, checked and measured: `tag-rewards sft-data`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
