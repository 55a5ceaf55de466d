"""Colours for Action Units that people with any kind of colour vision can tell apart.

The palette is that of Okabe and Ito, *Color Universal Design* (2008), without its black. A test
simulates the loss of each kind of cone (Machado, Oliveira and Fernandes 2009): no two of the seven
come nearer than a CIELAB difference of 15, where about 2 can just be seen.
"""

from collections import Counter
from collections.abc import Iterable

#: The first ones are the easiest to tell apart.
OKABE_ITO = ("#0072b2", "#d55e00", "#56b4e9", "#f0e442", "#cc79a7", "#e69f00", "#009e73")


def assign_colours(groups: Iterable[Iterable[int]]) -> dict[int, str]:
    """A colour of `OKABE_ITO` for each AU, such that AUs of one group share none if possible.

    Example:
        >>> assign_colours([[12, 6], [12, 4]])
        {4: '#0072b2', 6: '#0072b2', 12: '#d55e00'}
    """
    together: dict[int, set[int]] = {}
    for group in groups:
        aus = set(group)
        for au in aus:
            together.setdefault(au, set()).update(aus - {au})
    colours: dict[int, str] = {}
    for au in sorted(together):
        taken = Counter(colours[other] for other in together[au] if other in colours)
        colours[au] = min(OKABE_ITO, key=lambda colour: taken[colour])
    return colours


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` as in WCAG 2: 0 is black, 1 is white.

    Example:
        >>> luminance("#000000"), luminance("#ffffff")
        (0.0, 1.0)
    """
    values = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return round(0.2126 * red + 0.7152 * green + 0.0722 * blue, 6)


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour.

    Example:
        >>> ink_on("#f0e442"), ink_on("#0072b2")
        ('#000000', '#ffffff')
    """
    light = luminance(colour)
    return "#000000" if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else "#ffffff"
