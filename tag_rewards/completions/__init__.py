"""What models write about an evaluation set: `tag-rewards generate`, and files of other tools.

`generate` asks a model about every face; `ask_counterfactuals` asks again with parts of the face
hidden.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
