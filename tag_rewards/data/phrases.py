"""What a trace may say about an AU or a face: the vocabulary of `sft_text`.

The first phrase of each tuple is the short one, for small models; the others vary the wording of
full traces. No phrase names an AU or a label: a trace does that in its steps and its conclusion.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AU_PHRASES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("inner raise", "inner corners of the brows lifted", "the brows rise at the centre"),
        2: ("outer raise", "outer brows arched upwards", "the tails of the brows are pulled up"),
        4: ("brows lowered", "brows drawn down and together", "a furrow between the brows"),
        5: ("lids raised", "upper lids lifted, more of the eye shows", "the eyes are opened wide"),
        6: ("cheeks raised", "cheeks pushed up, crow's feet", "the cheeks gather below the eyes"),
        7: ("lids tight", "lids tensed and narrowed", "the lower lids are drawn tight"),
        9: ("nose wrinkled", "wrinkles along the sides of the nose", "the bridge is scrunched up"),
        10: ("upper lip raised", "the upper lip is drawn up", "a lifted, squared upper lip"),
        11: ("folds deep", "deepened nasolabial folds", "the folds beside the nose stand out"),
        12: ("corners up", "corners pulled up and outwards", "the lips curve into a smile"),
        14: ("corners tucked", "corners tightened into dimples", "the corners are pressed inwards"),
        15: ("corners down", "corners pulled downwards", "the mouth turns down at its ends"),
        16: ("lower lip down", "the lower lip is pulled down", "the lower teeth are uncovered"),
        17: ("chin raised", "the chin is pushed up and wrinkled", "a bunched, lifted chin"),
        18: ("lips puckered", "the lips are pushed forward", "the mouth is drawn to a pucker"),
        20: ("lips stretched", "corners stretched sideways", "the mouth is drawn out flat"),
        22: ("lips funneled", "the lips are rounded and flared", "a funnel-shaped mouth"),
        23: ("lips tight", "the lips are narrowed and tense", "thinned, tightened lips"),
        24: ("lips pressed", "the lips are pressed together", "a firmly closed, flattened mouth"),
        25: ("lips parted", "the lips come apart", "a gap between the lips"),
        26: ("jaw dropped", "the jaw hangs open", "the lower face lengthens as the jaw falls"),
        27: ("mouth stretched", "the mouth gapes wide", "the jaw is pulled far down"),
        28: ("lips sucked in", "the lips roll in over the teeth", "the red of the lips is hidden"),
        43: ("eyes closed", "the lids are shut", "both eyes stay closed"),
        45: ("blink", "the lids sweep shut", "the eyes are caught in a blink"),
    }
)

FACE_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": (
            "a calm face.",
            "The face appears at rest, its features relaxed and even.",
            "A composed face that gives away little feeling.",
            "The features lie in their resting place, without visible effort.",
        ),
        "happiness": (
            "a cheerful face.",
            "The face appears bright and pleased, lively around the eyes and the mouth.",
            "A warm face that conveys enjoyment.",
            "The features open up and lift, as in a good mood.",
        ),
        "sadness": (
            "a sorrowful face.",
            "The face appears downcast, conveying a somber and introspective state.",
            "A heavy, drooping face that conveys grief.",
            "The features sink, as if energy had left the face.",
        ),
        "surprise": (
            "a startled face.",
            "The face appears taken aback, its features opened all at once.",
            "An open face that reacts to something unexpected.",
            "The features spread apart vertically, alert and astonished.",
        ),
        "fear": (
            "a frightened face.",
            "The face appears tense and alarmed, as if facing a threat.",
            "A strained, watchful face that conveys dread.",
            "The features are drawn taut, ready to recoil.",
        ),
        "disgust": (
            "a repelled face.",
            "The face appears averse, contracted around its centre.",
            "A recoiling face that rejects what it meets.",
            "The features crowd together, as at a bad smell.",
        ),
        "anger": (
            "a hostile face.",
            "The face appears hard and tense, conveying confrontation.",
            "A stern face held under strong tension.",
            "The features tighten with force, ready to attack.",
        ),
        "contempt": (
            "a scornful face.",
            "The face appears dismissive, with an air of superiority.",
            "A disdainful face that looks down on another.",
            "The features stay cool, but for a trace of mockery.",
        ),
    }
)

WHOLE_FACE = "whole face"
CALM_PHRASES = ("at rest", "the features are relaxed", "all muscles appear to be at rest")

CONCLUSIONS = (
    "{aus} indicate {label}.",
    "Combined {aus} indicate a dominant emotion of {label}.",
    "Taken together, {aus} point to {label}.",
    "The evidence of {aus} speaks for {label}.",
)

CALM_CONCLUSIONS = (
    "no AU, {label}.",
    "No active AU indicates a dominant emotion of {label}.",
    "Without any active AU, the face points to {label}.",
    "No AU stands out, which speaks for {label}.",
)
