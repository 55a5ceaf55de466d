"""Files of a folder change together: killed at any moment, there are the old ones or the new."""

import os
import sys
from multiprocessing import get_context

import pytest

from tag_rewards.errors import InputError
from tag_rewards.files.whole import settle, staged, unchanged

LAST = "summary"
OLD = {"a": "old a", "only old": "x", LAST: "old"}
NEW = {"a": "new a", "b": "new b", LAST: "new"}


def write(out, files):
    with staged(out, LAST, replaces=["only old"]) as scratch:
        for name, text in files.items():
            (scratch / name).write_text(text)


def stop_writing(out):
    with staged(out, LAST) as scratch:
        (scratch / "a").write_text("half")
        raise KeyboardInterrupt


def there(out):
    """The files that a reader sees, without what is hidden."""
    return {path.name: path.read_text() for path in out.iterdir() if path.name[0] != "."}


def hidden(out):
    return [path.name for path in out.iterdir() if path.name[0] == "."]


def writing_stopped(out, files, step):
    """Write in a process that ends, as one that is killed does, before its `step`-th call.

    Returns:
        Whether it ended so; False if it had no such call, and ended well.
    """

    def act():
        left = step

        def before(event, _):
            nonlocal left
            if event.split(".")[0] in ("open", "os", "shutil", "fcntl"):
                left -= 1
                if left == 0:
                    os._exit(9)

        sys.addaudithook(before)
        write(out, files)
        os._exit(0)

    process = get_context("fork").Process(target=act)
    process.start()
    process.join()
    return process.exitcode == 9


def test_killed_before_any_step_there_are_the_old_files_or_the_new(tmp_path):
    """And where there is a mixture for a moment, the file that tells of the others is missing."""
    seen = set()
    for step in range(1, 1000):
        out = tmp_path / f"{step}"
        write(out, OLD)
        (out / "mine").write_text("mine")
        killed = writing_stopped(out, NEW, step)
        found = there(out)
        assert found.pop("mine") == "mine"
        assert LAST not in found or found in (OLD, NEW), step
        settle(out)
        found = there(out)
        assert found.pop("mine") == "mine"
        assert found in (OLD, NEW), step
        seen.add(found[LAST])
        write(out, {LAST: "third"})
        assert there(out)[LAST] == "third"
        assert hidden(out) == [], step
        if not killed:
            break
    assert not killed
    assert step > 20
    assert seen == {"old", "new"}


def test_the_next_writer_finishes_what_was_decided(tmp_path):
    """What it does not write anew is that of the killed one, not of the one before."""
    n_decided = 0
    for step in range(1, 1000):
        out = tmp_path / f"{step}"
        write(out, OLD)
        if not writing_stopped(out, NEW, step):
            break
        decided = bool(list(out.glob(".new-*/decided.json")))
        write(out, {LAST: "third"})
        assert not decided or there(out)["a"] == "new a"
        n_decided += decided
    assert n_decided > 3


def test_an_error_leaves_everything_as_it_was(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(KeyboardInterrupt):
        stop_writing(out)
    assert list(tmp_path.iterdir()) == []
    write(out, OLD)
    with pytest.raises(KeyboardInterrupt):
        stop_writing(out)
    assert (there(out), hidden(out)) == (OLD, [])


def test_two_writers_of_the_same_files_exclude_each_other(tmp_path):
    with staged(tmp_path, LAST) as scratch:
        (scratch / LAST).write_text("first")
        with (
            pytest.raises(InputError, match=f"another process writes to {tmp_path}; wait"),
            staged(tmp_path, LAST),
        ):
            pass
        with staged(tmp_path, "another") as other:
            (other / "another").write_text("second")
    assert there(tmp_path) == {LAST: "first", "another": "second"}
    assert hidden(tmp_path) == []


def test_a_folder_in_the_place_of_a_file_is_named_before_anything_moves(tmp_path):
    write(tmp_path, OLD)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path}/b is a folder; remove it"):
        write(tmp_path, NEW)
    (tmp_path / "b").rmdir()
    assert (there(tmp_path), hidden(tmp_path)) == (OLD, [])


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OSError, match=f"{out} cannot be written .*; give another place"):
            write(out, NEW)
    assert (tmp_path / "out").read_text() == "mine"


def test_links_are_moved_as_links(tmp_path):
    (tmp_path / "data").write_text("data")
    with staged(tmp_path / "out", LAST) as scratch:
        (scratch / LAST).symlink_to(tmp_path / "data")
    assert (tmp_path / "out" / LAST).readlink() == tmp_path / "data"


def test_what_was_changed_while_it_was_read_is_refused(tmp_path):
    path, missing = tmp_path / "a", tmp_path / "b"
    path.write_text("one")
    with unchanged(path, missing):
        path.read_text()
    for change in (
        lambda: path.write_text("other"),
        lambda: path.unlink(),
        lambda: missing.write_text("new"),
    ):
        with (
            pytest.raises(InputError, match="was changed while it was read; run this again"),
            unchanged(path, missing),
        ):
            change()
