"""From labelled images and what a detector saw to what trainers read: `tag-rewards prepare`.

`prepare` writes RL, SFT and evaluation parquet; the rows, targets, prompts and template traces in
them are here too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
