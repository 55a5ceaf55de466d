"""Named protocols: which images of a dataset, under which labels, a figure is about.

Published figures of FER do not reproduce because splits and labels are left implicit. A protocol
states them, and its published counts are checked when it is loaded.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.datasets.affectnet import read_affectnet
from tag_rewards.datasets.ckplus import read_ckplus
from tag_rewards.datasets.class_folders import read_class_folders
from tag_rewards.datasets.coded_frames import read_bp4d, read_disfa
from tag_rewards.datasets.expw import read_expw
from tag_rewards.datasets.fer2013 import read_fer2013
from tag_rewards.datasets.ferbench import FERBENCH_SPLITS, ferbench_counts, read_ferbench
from tag_rewards.datasets.ferplus import RULES, ferplus_counts, read_ferplus
from tag_rewards.datasets.own import read_own
from tag_rewards.datasets.rafdb import RAFDB_COUNTS, read_rafdb
from tag_rewards.datasets.reading import MissingFilesError, SplitCounts, evenly
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS, UNLABELLED
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from tag_rewards.datasets.affectnet import Release
    from tag_rewards.datasets.rafdb import RafdbImages
    from tag_rewards.datasets.reading import Dataset, FaceSample


SPLITS = ("train", "val", "test")

_SEVEN = EXPRESSIONS[:7]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a figure is about.

    Attributes:
        name: Such as `rafdb/basic-test`.
        dataset: Name of the dataset, such as `rafdb`.
        labels: The declared labels, in the order of `tag_rewards.facs.EXPRESSIONS`; images with
            another label are no part of it. Empty where nobody said an expression
            (`tag_rewards.facs.UNLABELLED`): AUs alone are evaluated.
        split: The evaluated one.
        read: Reads the dataset's folder.
        counts: Published counts by split; empty where none are known.
        source: Where the counts come from; `counts unknown` if nowhere.
    """

    name: str
    dataset: str
    labels: tuple[str, ...]
    split: str
    read: Callable[[Path], Dataset] = field(repr=False)
    counts: Mapping[str, SplitCounts] = field(default_factory=dict)
    source: str = "counts unknown"

    def __post_init__(self) -> None:
        if self.labels != tuple(label for label in EXPRESSIONS if label in self.labels):
            raise ValueError(f"the labels of {self.name} are not in the order of EXPRESSIONS")
        if self.split not in ("val", "test"):
            raise ValueError(f"{self.name} evaluates {self.split!r}, not val or test")
        if bool(self.counts) == (self.source == "counts unknown"):
            raise ValueError(f"{self.name} has counts without a source, or a source without counts")


@dataclass(frozen=True, slots=True)
class LoadedProtocol:
    """The data of a protocol.

    Attributes:
        protocol: The protocol.
        samples: Its images, of all splits that were asked for, in the dataset's order.
        mismatches: Where the images are not those that were published, one sentence each.
        dropped: Rows that are no sample of it, by split and reason.
        missing: Files of the dataset that labels need and that do not exist.
        left_out: Samples of the dataset that are none of it, each with the reason; they are counted
            among `dropped`.
    """

    protocol: Protocol
    samples: tuple[FaceSample, ...]
    mismatches: tuple[str, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    missing: tuple[Path, ...] = ()
    left_out: tuple[tuple[FaceSample, str], ...] = ()

    @property
    def evaluated(self) -> tuple[FaceSample, ...]:
        """The images of the evaluated split."""
        return tuple(sample for sample in self.samples if sample.split == self.protocol.split)

    def without(self, reason_of: Callable[[FaceSample], str | None]) -> LoadedProtocol:
        """The same without the samples that there is a reason to leave out; None for the others."""
        kept, left_out = [], [*self.left_out]
        dropped = {split: Counter(counts) for split, counts in self.dropped.items()}
        for sample in self.samples:
            reason = reason_of(sample)
            if reason is None:
                kept.append(sample)
            else:
                left_out.append((sample, reason))
                dropped.setdefault(sample.split, Counter())[reason] += 1
        return replace(self, samples=tuple(kept), dropped=dropped, left_out=tuple(left_out))


def count_mismatches(
    protocol: Protocol, samples: tuple[FaceSample, ...], splits: Collection[str]
) -> Iterator[str]:
    """Where the images are not as many as published, one sentence each, for some splits.

    Another split than the evaluated one may be missing altogether, as when only the validation
    images of a large dataset were copied.
    """
    found = Counter((sample.split, sample.label) for sample in samples)
    for split, published in protocol.counts.items():
        total = sum(n for (other, _), n in found.items() if other == split)
        if split not in splits or not (total or split == protocol.split):
            continue
        if total != published.total:
            yield f"{split}: expected {published.total} images, found {total}"
        for label, expected in published.labels.items():
            if found[split, label] != expected:
                yield f"{split}, {label}: expected {expected} images, found {found[split, label]}"


_SHOWN = 4  # mismatches in an error


def load_protocol(
    protocol: str | Protocol,
    root: str | Path,
    *,
    allow_mismatch: bool = False,
    allow_missing: bool = False,
    splits: Collection[str] | None = None,
) -> LoadedProtocol:
    """Read a dataset's folder under a protocol and check the published counts.

    Args:
        protocol: A name in `PROTOCOLS`, `package.module:NAME` of a protocol of your own, or a
            protocol.
        root: The dataset's folder.
        allow_mismatch: Record counts that differ instead of refusing them.
        allow_missing: List files that do not exist instead of refusing them.
        splits: Those to keep and check, such as only the evaluated one; None is all.

    Raises:
        InputError: There is no such protocol, the folder is not the dataset, counts differ, or no
            image is left.
    """
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    root = Path(root)
    missing: tuple[Path, ...] = ()
    try:
        dataset = protocol.read(root)
    except MissingFilesError as error:
        if not allow_missing:
            raise
        dataset, missing = error.dataset, error.missing
    wanted = SPLITS if splits is None else splits
    here = tuple(sample for sample in dataset.samples if sample.split in wanted)
    dropped = {split: rows for split, rows in dataset.dropped.items() if split in wanted}
    labels = protocol.labels or (UNLABELLED,)
    loaded = LoadedProtocol(protocol, here, dropped=dropped, missing=missing).without(
        lambda sample: (
            None if sample.label in labels else f"label {sample.label} is no part of the protocol"
        )
    )
    mismatches = tuple(count_mismatches(protocol, loaded.samples, wanted))
    if mismatches and not allow_mismatch:
        shown, rest = mismatches[:_SHOWN], len(mismatches) - _SHOWN
        others = f"; and {rest} more (see `tag-rewards datasets check`)" if rest > 0 else ""
        raise InputError(
            f"{root} is not {protocol.name} as published: {'; '.join(shown)}{others}; complete the "
            "dataset, choose another protocol, or go on with --allow-mismatch, which records it"
        )
    if not loaded.samples:
        raise InputError(f"{root} has no image of {protocol.name} in {', '.join(wanted)}")
    return replace(loaded, mismatches=mismatches)


def some_of_each_split(loaded: LoadedProtocol, limit: int) -> LoadedProtocol:
    """The data with at most so many images of each split, taken evenly from all of it.

    Datasets are often in the order of their labels. `mismatches` says what was taken, so that no
    figure passes for one of the whole split.
    """
    mismatches, kept = list(loaded.mismatches), set[int]()
    for split in dict.fromkeys(sample.split for sample in loaded.samples):
        here = [at for at, sample in enumerate(loaded.samples) if sample.split == split]
        kept.update(evenly(here, limit))
        if limit < len(here):
            mismatches.append(f"{split}: {limit} of {len(here)} images (limit)")
    samples = tuple(sample for at, sample in enumerate(loaded.samples) if at in kept)
    return replace(loaded, samples=samples, mismatches=tuple(mismatches))


def _rafdb(name: str, images: RafdbImages) -> Protocol:
    read = partial(read_rafdb, images=images)
    return Protocol(name, "rafdb", _SEVEN, "test", read, RAFDB_COUNTS, "Li et al. 2017")


def _affectnet(n_labels: int, release: Release, train: int, val: int) -> Protocol:
    return Protocol(
        f"affectnet{n_labels}/{release}-val",
        "affectnet",
        EXPRESSIONS[:n_labels],
        "val",
        partial(read_affectnet, release=release),
        {"train": SplitCounts(train), "val": SplitCounts(val)},
        "lists of Mollahosseini et al. 2017" if release == "old" else "the release itself",
    )


RAFDB_LAYOUT = Protocol("rafdb-layout/test", "rafdb", _SEVEN, "test", read_rafdb)
"""Any data in RAF-DB's layout; its counts are not looked at."""

_ALL = (
    _rafdb("rafdb/basic-test", "aligned"),
    _rafdb("rafdb/basic-test-original", "original"),
    *(
        Protocol(
            f"ferplus/{rule.replace('_', '-')}",
            "ferplus",
            EXPRESSIONS,
            "test",
            partial(read_ferplus, rule=rule),
            ferplus_counts(rule),
            "votes of Barsoum et al. 2016",
        )
        for rule in RULES
    ),
    Protocol(
        "fer2013/private-test",
        "fer2013",
        _SEVEN,
        "test",
        read_fer2013,
        {"train": SplitCounts(28709), "val": SplitCounts(3589), "test": SplitCounts(3589)},
        "Goodfellow et al. 2013",
    ),
    _affectnet(7, "old", 283901, 3500),
    _affectnet(7, "new", 283901, 3500),
    _affectnet(8, "old", 287651, 4000),
    _affectnet(8, "new", 287651, 3999),
    *(
        Protocol(
            f"ferbench/{name}",
            name,
            _SEVEN if name in ("rafdb", "sfew") else EXPRESSIONS,
            split,
            partial(read_ferbench, name=name),
            ferbench_counts(name),
            "lists of Zhang et al. 2025",
        )
        for name, split in FERBENCH_SPLITS.items()
    ),
    Protocol(
        "ckplus/peaks",
        "ckplus",
        tuple(label for label in EXPRESSIONS if label != "neutral"),
        "test",
        read_ckplus,
        {"test": SplitCounts(327)},
        "Lucey et al. 2010",
    ),
    Protocol("disfa/intensity2", "disfa", (), "test", read_disfa),
    Protocol("bp4d/occurrence", "bp4d", (), "test", read_bp4d),
    Protocol("expw", "expw", _SEVEN, "test", read_expw),
    Protocol("caers/test", "caers", _SEVEN, "test", read_class_folders),
    Protocol("sfew/val", "sfew", _SEVEN, "val", read_class_folders),
    Protocol("own/test", "own", EXPRESSIONS, "test", read_own),
    Protocol("own/val", "own", EXPRESSIONS, "val", read_own),
    Protocol("own7/test", "own", _SEVEN, "test", read_own),
    Protocol("own7/val", "own", _SEVEN, "val", read_own),
    Protocol("class-folder/test", "class-folder", EXPRESSIONS, "test", read_class_folders),
    Protocol("class-folder7/test", "class-folder", _SEVEN, "test", read_class_folders),
    Protocol("made-faces/test", "made-faces", _SEVEN, "test", read_rafdb),
    RAFDB_LAYOUT,
)

PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
"""All protocols by name."""


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Args:
        name: One of `PROTOCOLS`, or `package.module:NAME` of a `Protocol` of your own.

    Raises:
        InputError: There is none; the message says which name is meant.

    Example:
        >>> protocol_named("made-faces/tset")
        Traceback (most recent call last):
        tag_rewards.errors.InputError: no protocol is named 'made-faces/tset'; \
did you mean made-faces/test?
    """
    if ":" in name:
        own = load_named("--protocol", name)
        if not isinstance(own, Protocol):
            raise InputError(
                f"--protocol {name} ({type(own).__name__}) is no tag_rewards.datasets.Protocol"
            )
        return own
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    close = [other for other in PROTOCOLS if other.startswith(name)] if name else []
    close = close or difflib.get_close_matches(name, PROTOCOLS, n=1)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PROTOCOLS)}"
    raise InputError(f"no protocol is named {name!r:.80}; {hint}")
