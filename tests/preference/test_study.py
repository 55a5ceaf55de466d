"""The page of a study: what is on it and what is not, what raters are shown, what is refused."""

import json
import re
from collections import Counter

import pytest

from tag_rewards.errors import InputError
from tag_rewards.preference.ratings import read_key
from tag_rewards.preference.study import StudyConfig, make_study
from tag_rewards.report.drawings import MAX_CHARS
from tests.builders.command import command
from tests.builders.completions import MOUTH, trace
from tests.builders.page_reader import read_page
from tests.builders.study import MODELS, study, two_models, write_completions

HOSTILE = '</pre><script>document.title = "owned"</script><img src=x onerror="alert(1)">\u202e'


def shown(made):
    """The texts of each pair on the page."""
    page = read_page(made.page.read_text(encoding="utf-8"))
    return {
        pair.attributes["data-item"]: tuple(pre.text for pre in pair.all("pre"))
        for pair in page.all("section")
        if pair.attributes.get("class") == "pair"
    }


def test_the_page_shows_what_the_key_has(tmp_path):
    made = study(tmp_path, count=20, pairs=9, checks=3)
    assert shown(made) == {name: item.texts for name, item in made.key.items.items()}
    assert read_key(made.key_file) == made.key
    pairs = [item for item in made.key.items.values() if item.right is None]
    assert len({item.face for item in pairs}) == len(pairs) == 9
    assert sorted(Counter(item.first for item in pairs).values()) == [4, 5]
    for item in pairs:
        seen = f"[{','.join(map(str, MOUTH))}]" in item.texts[0]
        assert seen == (item.first == 1)


def test_the_page_does_not_say_which_model_wrote_what(tmp_path):
    made = study(tmp_path)
    text = made.page.read_text(encoding="utf-8")
    for name in (*MODELS, "sft", "grpo", "face_0", str(tmp_path), '"right"'):
        assert name not in text


def test_checks_are_one_text_twice_with_a_line_in_one_of_them(tmp_path):
    made = study(tmp_path, count=20, pairs=10, checks=4)
    checks = [item for item in made.key.items.values() if item.right is not None]
    assert Counter(item.right for item in checks) == {"first": 2, "second": 2}
    assert Counter(item.first for item in checks) == {0: 2, 1: 2}
    for item in checks:
        right, wrong = item.texts if item.right == "first" else item.texts[::-1]
        [line] = set(right.splitlines()) - set(wrong.splitlines())
        assert line.startswith("(Checking attention: choose the side that has this line")
        assert [one for one in right.splitlines() if one != line] == wrong.splitlines()
    # One in each quarter.
    where = [int(n) for n, item in made.key.items.items() if item.right is not None]
    assert [(number - 1) * 4 // 14 for number in where] == [0, 1, 2, 3]


def test_the_same_seed_makes_the_same_study(tmp_path):
    one, same, other = (study(tmp_path / str(n), 12, seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert one.page.read_bytes() == same.page.read_bytes()
    assert one.key == same.key
    assert other.key.study != one.key.study


def test_the_key_of_another_study_stays(tmp_path):
    made = study(tmp_path, seed=3)
    key = made.key_file.read_bytes()
    assert study(tmp_path, seed=3).key == made.key
    with pytest.raises(InputError, match="is the key of another study"):
        study(tmp_path, seed=4)
    assert made.key_file.read_bytes() == key


def test_both_sides_show_the_same_part_of_the_face(tmp_path):
    made = study(tmp_path)
    page = read_page(made.page.read_text(encoding="utf-8"))
    for pair in page.all("section"):
        images = [image.attributes["href"] for image in pair.all("image")]
        assert len(set(images)) <= 1


def test_what_is_not_compared_is_counted(tmp_path):
    good, off = trace("happiness", [MOUTH]), trace("fear", [(2, 2, 20, 16)])
    texts = [[good, good, None, "", off], [off, good, good, off, good]]
    first, second, data = two_models(tmp_path, 5, texts)
    made = make_study(first, second, data, tmp_path / "study.html", StudyConfig(9, 1))
    assert (made.missing, made.same) == (2, 1)
    assert {i.face for i in made.key.items.values()} == {"face_0000", "face_0004"}


def test_a_text_is_text(tmp_path):
    long = "word " * 2_000
    texts = [[HOSTILE, long, HOSTILE], [long, HOSTILE, long]]
    first, second, data = two_models(tmp_path, 3, texts)
    made = make_study(first, second, data, tmp_path / "study.html", StudyConfig(3, 3))
    text = made.page.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "<img" not in text
    assert "\u202e" not in text
    assert {len(one) for item in made.key.items.values() for one in item.texts} <= {
        *range(MAX_CHARS + 1),
        *range(MAX_CHARS, MAX_CHARS + 200),  # with the line of a check
    }
    for name, texts in shown(made).items():
        assert texts == made.key.items[name].texts


def test_the_page_forbids_all_but_itself(tmp_path):
    text = study(tmp_path).page.read_text(encoding="utf-8")
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:;")
    assert "unsafe-eval" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"out": "study.txt"}, "study.txt must end with .html"),
        ({"second": "sft.jsonl"}, "have no face on which both wrote something, and not the same"),
        ({"pairs": 0}, "pairs is 0, not at least 1"),
        ({"checks": -1}, "checks is -1, not at least 0"),
    ],
)
def test_what_is_refused(tmp_path, change, sentence):
    first, second, data = two_models(tmp_path, 3)
    given = {"second": second.name, "out": "study.html", "pairs": 4, "checks": 1, **change}
    with pytest.raises(InputError, match=re.escape(sentence)):
        make_study(
            first,
            tmp_path / given["second"],
            data,
            tmp_path / given["out"],
            StudyConfig(given["pairs"], given["checks"]),
        )
    assert not list(tmp_path.glob("study*"))


def test_models_without_a_name_are_called_as_their_files(tmp_path):
    first, second, data = two_models(tmp_path, 2)
    for path in (first, second):
        texts = [json.loads(line)["completion"] for line in path.read_text().splitlines()]
        write_completions(path, "", texts)
    made = make_study(first, second, data, tmp_path / "study.html")
    assert made.key.models == ("sft", "grpo")
    write_completions(second, "sft", texts)
    made = make_study(first, second, data, tmp_path / "other.html")
    assert made.key.models == (str(first), str(second))


def test_the_command(tmp_path):
    first, second, data = two_models(tmp_path, 6)
    out = tmp_path / "new" / "study.html"
    code, told, err = command(
        *("preference", "make", first, second, "--data", data, "--out", out, "--pairs", 4),
        *("--checks", 1),
    )
    assert (code, err) == (0, "")
    assert f"{out}: 4 pairs and 1 checks of attention; left out are 0 faces" in told
    assert f"{out.with_name('study.key.json')}: which text is whose; not for raters" in told
