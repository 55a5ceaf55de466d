"""What a model wrote, read into values and written back.

::

    Global analysis: The face appears aged with deep wrinkles and a downward gaze.
    Verification loop:
    Inspect mouth corners (AU14) → tightened corners → (a box)
    Inspect inner brow (AU4) → subtle lift and tension → (a box)
    Final conclusion: Combined AU14 + AU4 indicate a dominant emotion of sadness.
    <answer> sadness </answer>

In the figures of TAG (arXiv 2602.18763) no step names its AU, and the k-th box belongs to the k-th
AU of the conclusion; the name in parentheses is our addition. The words and marks, those of a box
among them, are those of the target's form (`tag_rewards.forms`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
