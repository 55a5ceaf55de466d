"""What an AU detector sees on a face: one binding a file, all of them by `make_detector`.

A detector gives a `Detection` for each image: `FaceObservation`s with landmarks (iBUG-68) and AU
probabilities, or why there is none.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
