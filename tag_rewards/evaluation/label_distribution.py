"""How many images of each label a dataset's splits have, in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tag_rewards.evaluation.colours import OKABE_ITO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

_FOUND, _PUBLISHED = OKABE_ITO[:2]


def draw_label_distribution(
    title: str,
    labels: Sequence[str],
    found: Mapping[str, Mapping[str, int]],
    published: Mapping[str, Mapping[str, int]],
) -> Figure:
    """Bars of the images by label, a panel for each split, with a mark where a count is published.

    Args:
        title: Of the picture.
        labels: The declared labels, from top to bottom.
        found: Images by split and label; at least one split.
        published: Published counts likewise, where they are known.
    """
    height = 0.34 * len(labels) + 1.3
    figure = Figure(figsize=(1.4 + 3.4 * len(found), height), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (split, counts) in zip(axes, found.items(), strict=True):
        _draw_split(panel, split, labels, counts, published.get(split, {}))
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].invert_yaxis()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _draw_split(
    panel: Axes,
    split: str,
    labels: Sequence[str],
    counts: Mapping[str, int],
    published: Mapping[str, int],
) -> None:
    total = sum(counts.get(label, 0) for label in labels)
    values = [counts.get(label, 0) for label in labels]
    panel.barh(range(len(labels)), values, color=_FOUND, height=0.7)
    for row, (label, value) in enumerate(zip(labels, values, strict=True)):
        share = f" ({value / total:.1%})" if total else ""
        # Beside both bar and mark.
        end = max(value, published.get(label, 0))
        panel.annotate(
            f"{value:,}{share}",
            (end, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    if published:
        expected = [published.get(label, 0) for label in labels]
        panel.plot(
            expected, range(len(labels)), "|", color=_PUBLISHED, markersize=14, markeredgewidth=2
        )
        panel.set_title("| published", loc="right", fontsize=9, color=_PUBLISHED)
    panel.set_title(f"{split}: {total:,} images", loc="left", fontsize=10)
    panel.set_xlim(0, 1.45 * max([1, *values, *published.values()]))
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
