"""What an evaluation found, and the folder that it is kept in.

::

    RESULTS/
      results.json      `Results`: every figure with its interval, and what was evaluated how
      samples.parquet   one row a face, from which every figure can be computed again
      gallery.parquet   some faces with their images, if at hand

Columns of `samples.parquet` (nullable only where it says so):

=====================  ============================================================================
id                     name of the face in its dataset
label                  its true label
answer                 what the strict parser reads; null if it is none of the labels
no_answer              why not: "" if there is an answer, else one of `answers.NO_ANSWER`
answer_compat          what `ferbench-compat` reads, perhaps "unknown"; null if it drops the face
completion             what the model wrote; null if nothing is there
target                 the target's JSON
confidence             probability that the model gave its answer, in [0, 1]; null if not known
abstained              whether the target has no evidence; all below is 0 then and counts nowhere
score                  the whole reward with its default weights, in [0, 1]
format                 format reward, in [0, 1]
grounding              grounding reward, in [0, 1]
mean_iou               mean over the target's AUs of the IoU of the box that claims it, 0 if none
hit_rate               share of the target's AUs whose IoU is at least 0.5
au_precision           of the AUs that the conclusion names; so are the next two
au_recall
au_f1
n_aus                  AUs of the target
n_placed               those of them that a box claims
blind_iou              mean over the target's AUs of the IoU that a box has which never looked: the
                       mean of the AU's boxes on the other faces that were evaluated with it
n_mentions             different AUs that the trace asserts anywhere, but for those that the
                       target ignores
hallucinated           share of those that the target does not have; null if there are none
text_box_agreement     share of the boxes that lie in the region that their step's words name; null
                       if no step names a known one, or there are no landmarks
region_agreement       share of the boxes whose region names the place where they are
observation_agreement  share of the claims whose observation speaks of their AU
conclusion_agreement   1 if the conclusion's emotion is the answer, else 0
words_judged           1 if these three could be judged: there is a text, and it is in English; else
                       0, and they are null
claims                 list of {au, iou, box, region, agrees}: every box with one AU that it is said
                       to show, in order. `au` is null if the trace does not tell, `iou` if the
                       target does not have the AU; `box` is x1, y1, x2, y2 in the target's box
                       space, `region` the step's words, `agrees` as in text_box_agreement
=====================  ============================================================================

A measure that these do not say has a column of its name at the end: the face's share, null where
it has none. `gallery.parquet` has all these columns for its faces, and before them `kind` (`best`,
`worst`, `random`), `rank` (from 1) and `image` (PNG or JPEG bytes of what the model saw, in whose
coordinates the boxes are up to the target's box space).

What another version wrote opens: a measure that it lacks is absent, one that is not known here is
named in `Results.unknown` and passed over. What was edited does not, where a value contradicts
another: all that is made of the files counts on the labels, the counts and the ranges in them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError, shown
from tag_rewards.evaluation.classification import FERBENCH, FEW, STRICT, UNKNOWN, Classification
from tag_rewards.evaluation.measures import MEASURES, OF_ANSWERS, Figure, JudgedFaces
from tag_rewards.files.objects import open_parquet, read_object
from tag_rewards.files.whole import settle, staged, write_whole
from tag_rewards.geometry.matching import Box  # noqa: TC001 - msgspec looks at the fields' types
from tag_rewards.looks import Grid, ShortRepr, html_lines, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
RESULTS_FILE, SAMPLES_FILE, GALLERY_FILE = "results.json", "samples.parquet", "gallery.parquet"

_REMEDY = "run `tag-rewards eval` again"

#: The name of the model's own row among the baselines in `Results.faithfulness`.
MODEL = "model"

#: The only baseline that is not told the AUs of a face.
ANOTHER_FACE = "another face of the label"

#: Who had to find the AUs of a face; the other rows of a faithfulness table are told them.
NOT_TOLD = frozenset({MODEL, ANOTHER_FACE})

#: Parser -> what the names of its figures begin with.
PARSERS: Mapping[str, str] = {STRICT: "", FERBENCH: "compat_"}


@dataclass(frozen=True, slots=True)
class AUFigures:
    """How well one AU is named and placed, over the faces with evidence.

    Attributes:
        au: Number of the AU.
        iou: Mean over the faces that show it of the IoU of its box, 0 where it has none; None if
            no face shows it.
        seen: Faces on which the detector saw it.
        named: Faces whose trace asserts it.
        named_and_seen: Faces on which both hold.
    """

    au: int
    iou: Figure | None
    seen: int
    named: int
    named_and_seen: int


@dataclass(frozen=True, slots=True)
class Faces:
    """What was evaluated. Nothing is filtered: every image of the split counts in the accuracy.

    Attributes:
        total: Images of the evaluated split.
        with_evidence: Those whose target has an AU; the faithfulness figures are of them.
        with_landmarks: Those with landmarks, which the region of a step's words needs.
        with_completion: Those for which the model wrote anything.
        with_confidence: Those whose answer has a probability.
        left_out: Why there is no evidence, and on how many images.
    """

    total: int
    with_evidence: int
    with_landmarks: int
    with_completion: int
    with_confidence: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Results:
    """What an evaluation found.

    Attributes:
        protocol: Such as `rafdb/basic-test`.
        labels: The declared labels; none where nobody said an expression.
        mismatches: Where the data's counts differ from the published ones; empty if nowhere.
        model: The model's name as its completions have it, "" if they do not say.
        faces: What was evaluated.
        classification: Parser -> figures; `strict` first, then `ferbench-compat`. Empty without
            labels.
        faithfulness: `MODEL` and every baseline -> measure -> figure, None where nothing counts
            for the measure. Measures are those of `tag_rewards.evaluation.measures.MEASURES`.
        by_au: One for every AU that was seen or named, by number.
        counterfactual: How often the answer changes when what it claims is masked, by name; empty
            if it was not tried.
        moved: `slope`, how far a box moves when its picture is moved, as a share of that; empty if
            it was not tried.
        coded: How well the AUs that traces assert are those that people coded: `macro_f1`, and F1
            by AU (`AU12`); empty where a detector says which AUs there are.
        suspect_spaces: Box space or order in which all boxes of a completion would fit far better
            than in the data's -> number of such completions.
        config: The options of the evaluation, and the files that it read.
        versions: Of this library and what it computes with.
        unknown: Names of figures in a file that this version does not know.
    """

    protocol: str
    labels: tuple[str, ...]
    mismatches: tuple[str, ...]
    model: str
    faces: Faces
    classification: Mapping[str, Classification]
    faithfulness: Mapping[str, Mapping[str, Figure | None]]
    by_au: tuple[AUFigures, ...]
    counterfactual: Mapping[str, Figure | None] = field(default_factory=dict)
    moved: Mapping[str, Figure | None] = field(default_factory=dict)
    coded: Mapping[str, Figure] = field(default_factory=dict)
    suspect_spaces: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @property
    def figures(self) -> dict[str, Figure | None]:
        """Every measure of the model, None where nothing counts or these results lack it.

        Example:
            >>> faces = Faces(0, 0, 0, 0, 0, {})
            >>> nothing = Results("p", ("fear",), (), "", faces, {}, {"model": {}}, ())
            >>> set(nothing.figures.values())
            {None}
        """
        return figures_by_measure(self.classification, self.faithfulness[MODEL])

    def _repr_html_(self) -> str:
        rows = [
            (MEASURES[name].words, "-" if figure is None else figure.text())
            for name, figure in self.figures.items()
        ]
        title = f"{self.model or 'a model'} on {self.protocol}, {self.faces.total} faces"
        return Grid(("measure", "value"), rows, title).html() + html_lines([*self.warnings])

    @property
    def warnings(self) -> Iterator[str]:
        """What a reader must know before the figures, one sentence each."""
        for mismatch in self.mismatches:
            yield f"not {self.protocol} as published: {mismatch}"
        missing = self.faces.total - self.faces.with_completion
        if missing:
            yield (f"{missing} of {self.faces.total} faces have no completion; they count as wrong")
        strict = self.classification.get(STRICT)
        if strict is not None and strict.absent:
            yield (
                f"no face is labelled {', '.join(strict.absent)}; UAR and macro F1 are means over "
                "the other labels"
            )
        if strict is not None and strict.few:
            few = ", ".join(f"{label} ({n})" for label, n in strict.few.items())
            yield (
                f"fewer than {FEW} faces are labelled {few}; the intervals of UAR and macro F1 "
                "are too narrow then"
            )
        figures = self.figures
        if figures.get("mean_iou") and self.faces.with_completion and not figures.get("placed_iou"):
            yield (
                "no box of any completion is read as one that shows an AU; `tag-rewards explain` "
                "says of one what is missing, and `prepare --form` asks a model in its own form"
            )
        for space, count in self.suspect_spaces.items():
            yield (
                f"the boxes of {count} completions lie where nothing was seen, but as {space} they "
                "would fit: prepare the data in the box space of the model (`tag-rewards prepare "
                "--model` or `--box-space`) and ask again"
            )
        if self.unknown:
            yield (
                f"another version of tag-rewards wrote these results; {', '.join(self.unknown)} "
                "is not known to this one and not shown"
            )


def figures_by_measure(
    classification: Mapping[str, Classification], faithfulness: Mapping[str, Figure | None]
) -> dict[str, Figure | None]:
    """The figures of a model by the names of `MEASURES`, None where there is none."""
    found: dict[str, Figure | None] = dict.fromkeys(MEASURES)
    for parser, prefix in PARSERS.items():
        one = classification.get(parser)
        for name in OF_ANSWERS:
            if one is not None and prefix + name in found:
                found[prefix + name] = getattr(one, name)
    return {**found, **faithfulness}


def write_results(folder: Path, results: Results) -> Path:
    """Write `results.json` and return its path.

    A `Figure` is an object with `value`, `low`, `high` and `n`; None is null.

    Args:
        folder: Made if needed.
        results: What to write.
    """
    path = folder / RESULTS_FILE
    record = {"version": VERSION, **plain(results)}
    del record["unknown"]
    for name in ("moved", "coded"):
        if not record[name]:
            del record[name]
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    write_whole(path, text + "\n")
    return path


def read_results(folder: Path) -> Results:
    """Read the `results.json` of a folder; the inverse of `write_results`.

    Raises:
        InputError: There is none, or it was written by another release or edited.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tag_rewards.evaluation import classify
        >>> faces = Faces(2, 0, 0, 2, 0, {})
        >>> read = {STRICT: classify(["fear", "fear"], ["fear", None], ["fear"])}
        >>> results = Results("made-faces/test", ("fear",), (), "", faces, read, {"model": {}}, ())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_results(Path(folder), results)
        ...     read_results(Path(folder)) == results
        True
    """
    settle(folder)
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a folder that `tag-rewards eval` wrote")
    record = read_object(path, _REMEDY)
    if record.pop("version", None) != VERSION:
        raise InputError(f"{path} is not of version {VERSION} of results; {_REMEDY}")
    try:
        return _results(record)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} does not have the fields of results ({type(error).__name__}: {error}); "
            f"{_REMEDY}"
        ) from error


def require_labels(folder: Path, results: Results) -> None:
    """Refuse results without labels where models are compared by their answers."""
    if not results.labels:
        raise InputError(
            f"{folder} is of {results.protocol}, whose faces have no expressions: no answer is "
            f"judged; its figures are in {folder / RESULTS_FILE}"
        )


def _results(record: dict[str, Any]) -> Results:
    strange = record.keys() - {one.name for one in fields(Results)}
    if strange:
        raise TypeError(f"unknown {', '.join(sorted(strange))}")
    parsers, measured = record["classification"], record["faithfulness"]
    unknown = {name for of in (measured[MODEL], *measured.values()) for name in of}
    unknown -= MEASURES.keys()
    unknown |= {name for of in parsers.values() for name in of} - set(_CLASSIFICATION)
    known = {
        who: {name: of[name] for name in of if name in MEASURES} for who, of in measured.items()
    }
    read = {**record, "faithfulness": known, "unknown": sorted(unknown)}
    results = msgspec.convert(_with_lists(read), Results)
    _require_consistent(results)
    return results


def _require_consistent(results: Results) -> None:
    labels, total, n = results.labels, results.faces.total, len(results.labels)
    if len(set(labels)) < n or (results.classification and not labels):
        raise ValueError(f"labels are {shown(list(labels))}, not some that differ")
    if labels and STRICT not in results.classification:
        raise ValueError(f"classification lacks {STRICT!r}")
    for name, one in results.classification.items():
        where = f"classification {name!r}"
        if tuple(of.label for of in one.by_class) != labels or (
            [len(row) for row in one.confusion] != [n + 1] * n
        ):
            raise ValueError(f"{where} is not of the {n} labels {', '.join(labels)}")
        counts = [count for row in one.confusion for count in row]
        if min(counts) < 0 or sum(counts) != one.n:
            raise ValueError(f"{where}: n is {one.n}, and confusion counts {sum(counts)} faces")
        if one.n + one.dropped != total:
            raise ValueError(
                f"{where}: n is {one.n} and dropped {one.dropped}, and faces.total is {total}"
            )
    for name, count in asdict(results.faces).items():
        if isinstance(count, int) and not 0 <= count <= total:
            raise ValueError(f"faces.{name} is {count}, and faces.total is {total}")


_CLASSIFICATION = tuple(one.name for one in fields(Classification))


def _with_lists(value: Any) -> Any:
    """The value with each figure as the list of its fields, as which msgspec takes a tuple."""
    if isinstance(value, dict):
        if value.keys() == set(Figure._fields):
            return [value[name] for name in Figure._fields]
        return {name: _with_lists(inner) for name, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list) else value


_CLAIM = pa.struct(
    [
        ("au", pa.int32()),
        ("iou", pa.float64()),
        pa.field("box", pa.list_(pa.float64()), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        ("agrees", pa.bool_()),
    ]
)

#: Of 1, and a number of things; what is read is held to it.
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

_TYPES = {
    "str": pa.string(),
    "Share": pa.float64(),
    "Count": pa.int32(),
    "bool": pa.bool_(),
    "tuple[ClaimRow, ...]": pa.list_(_CLAIM),
}


class ClaimRow(NamedTuple):
    """A box with one AU that it is said to show; the fields are those of the column `claims`."""

    au: int | None
    iou: Share | None
    box: Box
    region: str
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class FaceRow:
    """What is known of one evaluated face: a row of `samples.parquet`, described above."""

    id: str
    label: str
    answer: str | None
    no_answer: str
    answer_compat: str | None
    completion: str | None
    target: str
    confidence: Share | None
    abstained: bool
    score: Share
    format: Share
    grounding: Share
    mean_iou: Share = 0.0
    hit_rate: Share = 0.0
    au_precision: Share = 0.0
    au_recall: Share = 0.0
    au_f1: Share = 0.0
    n_aus: Count = 0
    n_placed: Count = 0
    blind_iou: Share = 0.0
    n_mentions: Count = 0
    hallucinated: Share | None = None
    text_box_agreement: Share | None = None
    region_agreement: Share | None = None
    observation_agreement: Share | None = None
    conclusion_agreement: Share | None = None
    words_judged: Share = 0.0
    claims: tuple[ClaimRow, ...] = ()


def judged_faces(rows: Sequence[FaceRow]) -> JudgedFaces:
    """Rows as columns, for the measures."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(row, name) or 0 for row in rows], dtype=np.float64)

    claims = [(face, claim) for face, row in enumerate(rows) for claim in row.claims]
    own = np.array([(one.au, one.iou, one.agrees) for _, one in claims], dtype=np.float64)
    au, iou, agrees = own.reshape(-1, 3).T
    counted = 1 - column("abstained")
    alike = {one.name for one in fields(JudgedFaces)} & {one.name for one in fields(FaceRow)}
    return JudgedFaces(
        counted=counted,
        written=counted * [row.completion is not None for row in rows],
        **{name: column(name) for name in alike},
        n_hallucinated=(column("hallucinated") * column("n_mentions")).round(),
        claim_face=np.array([face for face, _ in claims], dtype=np.intp),
        claim_au=au,
        claim_iou=iou,
        claim_agrees=agrees,
        words=np.array(
            [[getattr(row, name) for name in _OF_WORDS] for row in rows], np.float64
        ).reshape(-1, len(_OF_WORDS)),
    )


_OF_WORDS = ("region_agreement", "observation_agreement", "conclusion_agreement")


_COLUMNS = pa.schema(
    [
        pa.field(one.name, _TYPES[str(one.type).removesuffix(" | None")], "None" in str(one.type))
        for one in fields(FaceRow)
    ]
)


_LATER = ("blind_iou",)  # columns that earlier versions did not write, though no measure's


def write_face_rows(folder: Path, rows: Sequence[FaceRow]) -> Path:
    """Write `samples.parquet` into a folder that is there, and return its path."""
    path = folder / SAMPLES_FILE
    pq.write_table(_table(rows), path, compression="zstd")
    return path


def _table(rows: Sequence[FaceRow]) -> pa.Table:
    plain = [one for one in _COLUMNS if one.name != "claims"]
    columns = [pa.array([getattr(row, one.name) for row in rows], one.type) for one in plain]
    claims = [claim for row in rows for claim in row.claims]
    values = [pa.array([getattr(claim, one.name) for claim in claims], one.type) for one in _CLAIM]
    ends = np.cumsum([0, *(len(row.claims) for row in rows)], dtype=np.int32)
    structs = pa.StructArray.from_arrays(values, fields=list(_CLAIM))
    columns.append(pa.ListArray.from_arrays(ends, structs, type=pa.list_(_CLAIM)))
    table = pa.table(columns, schema=_COLUMNS)
    for name, measure in MEASURES.items():
        if measure.count and measure.column and name not in _COLUMNS.names:
            part, whole = measure.count(judged_faces(rows))
            share = np.divide(part, whole, out=np.zeros(len(rows)), where=whole > 0)
            table = table.append_column(name, pa.array(share, mask=whole == 0))
    return table


def read_face_rows(folder: Path, results: Results | None = None) -> list[FaceRow]:
    """Read the `samples.parquet` of a folder; the inverse of `write_face_rows`.

    A measure that has no column is None or NaN in every row.

    Args:
        folder: The folder.
        results: What its `results.json` says, which the rows must not contradict; None to read
            them alone.

    Raises:
        InputError: There is none, a column is missing or of another type, a value is wrong or
            contradicts another; the message names file, row, field and value.
    """
    path = folder / SAMPLES_FILE
    rows = [_face_row(*one, results) for one in _read(path, _COLUMNS)]
    if results is not None and len(rows) != results.faces.total:
        raise InputError(
            f"{path} has {len(rows)} rows, and faces.total is {results.faces.total} in "
            f"{RESULTS_FILE}; {_REMEDY}"
        )
    for name, times in Counter(row.id for row in rows).items():
        if times > 1:
            raise InputError(f"{path}: id {name!r} is there {times} times; {_REMEDY}")
    return rows


def _face_row(where: str, record: Mapping[str, Any], results: Results | None) -> FaceRow:
    present = {one.name: record[one.name] for one in _COLUMNS if one.name in record}
    absent: dict[str, Any] = {
        one.name: np.nan for one in _COLUMNS if not one.nullable and one.name not in record
    }
    claims = [[claim[name] for name in ClaimRow._fields] for claim in record["claims"] or ()]
    try:
        row = msgspec.convert({**present, "claims": claims}, FaceRow)
    except ValueError as error:
        field = str(error).partition("$.")[2].partition("[")[0].rstrip("`")
        value = shown(record.get(field))
        raise InputError(f"{where}: {field} is {value}: {error}; {_REMEDY}") from error
    _require_of_row(where, row, results)
    return replace(row, **absent) if absent else row


def _require_of_row(where: str, row: FaceRow, results: Results | None) -> None:
    """Refuse a row that contradicts itself, or results if they are given."""
    if (row.answer is None) == (not row.no_answer):
        raise InputError(
            f"{where}: answer is {shown(row.answer)}, and no_answer is {shown(row.no_answer)}; "
            f"{_REMEDY}"
        )
    compat = None if row.answer_compat == UNKNOWN else row.answer_compat
    for name, value in (("label", row.label), ("answer", row.answer), ("answer_compat", compat)):
        if results is None or not results.labels or value is None:
            continue
        if value not in results.labels:
            raise InputError(
                f"{where}: {name} is {shown(value)}, none of the labels of {RESULTS_FILE} "
                f"({', '.join(results.labels)}); {_REMEDY}"
            )


def _read(path: Path, schema: pa.Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the values of each row of a file.

    Columns of measures may be missing, and those that are not known are passed over.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a folder that `tag-rewards eval` wrote")
    optional = {*MEASURES, *_LATER}
    with open_parquet(path, schema, "tag-rewards eval", optional=optional) as file:
        records = file.read(schema.names).to_pylist()
    for number, record in enumerate(records):
        yield f"{path}: row {number}", record


FACES_OF_A_KIND = 12

_OWN = [
    pa.field("kind", pa.string(), nullable=False),
    pa.field("rank", pa.int32(), nullable=False),
    pa.field("image", pa.binary(), nullable=False),
]


class Choice(NamedTuple):
    """A face that is to be shown: as what, and the index of its row."""

    kind: str
    rank: int
    row: int


@dataclass(frozen=True, slots=True, repr=False)
class GalleryFace(ShortRepr):
    """A face to look at.

    Attributes:
        kind: `best`, `worst` or `random`.
        rank: From 1; the best of the best, the worst of the worst.
        image: PNG or JPEG bytes.
        row: What is known of it.
    """

    kind: str
    rank: int
    image: bytes
    row: FaceRow


def choose(rows: Sequence[FaceRow], seed: int = 0) -> list[Choice]:
    """The faces with the highest score, with the lowest, and some drawn from all.

    Only faces with evidence and a completion are shown: there is nothing to see in the others. The
    score is the whole reward with its default weights; among equals the mean IoU decides, then the
    order of the data. A face may be there as one of two kinds.

    Returns:
        At most `FACES_OF_A_KIND` of each of `best`, `worst` and `random`.
    """
    shown = [
        index for index, row in enumerate(rows) if not row.abstained and row.completion is not None
    ]
    ranked = sorted(shown, key=lambda i: (-rows[i].score, -rows[i].mean_iou, i))
    n = min(FACES_OF_A_KIND, len(shown))
    drawn = np.random.default_rng(seed).choice(shown, n, replace=False).tolist() if n else []
    chosen = {"best": ranked[:n], "worst": ranked[::-1][:n], "random": sorted(drawn)}
    return [
        Choice(kind, rank, row)
        for kind, some in chosen.items()
        for rank, row in enumerate(some, start=1)
    ]


def write_evaluation(
    folder: Path, results: Results, rows: Sequence[FaceRow], gallery: Sequence[GalleryFace]
) -> None:
    """Write all three files; a folder that had them has the old ones or the new, not some of each.

    Raises:
        NotWrittenError: The folder cannot be written.
    """
    with staged(folder, last=RESULTS_FILE) as scratch:
        write_face_rows(scratch, rows)
        write_gallery(scratch, gallery)
        write_results(scratch, results)


def write_gallery(folder: Path, faces: Sequence[GalleryFace]) -> Path:
    """Write `gallery.parquet` into a folder that is there, and return its path."""
    table = _table([face.row for face in faces])
    for column in reversed(_OWN):
        values = pa.array([getattr(face, column.name) for face in faces], column.type)
        table = table.add_column(0, column, values)
    path = folder / GALLERY_FILE
    pq.write_table(table, path)
    return path


def read_gallery(folder: Path, results: Results | None = None) -> list[GalleryFace]:
    """Read the `gallery.parquet` of a folder, in its order; nothing if there is no such file."""
    settle(folder)
    path = folder / GALLERY_FILE
    if not path.exists():
        return []
    faces = []
    for where, record in _read(path, pa.schema([*_OWN, *_COLUMNS])):
        kind, rank, image = own = [record[one.name] for one in _OWN]
        if None in own:
            raise InputError(f"{where}: kind, rank or image is missing; {_REMEDY}")
        faces.append(GalleryFace(kind, rank, image, _face_row(where, record, results)))
    return faces
