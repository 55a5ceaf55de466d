from .judge import ask_judge
from .ratings import (
    Item,
    Key,
    Preferences,
    Ratings,
    bradley_terry,
    krippendorff_alpha,
    read_key,
    read_ratings,
    score_ratings,
)
from .study import (
    StudyConfig,
    make_study,
)

__all__ = [
    "Item",
    "Key",
    "Preferences",
    "Ratings",
    "StudyConfig",
    "ask_judge",
    "bradley_terry",
    "krippendorff_alpha",
    "make_study",
    "read_key",
    "read_ratings",
    "score_ratings",
]
