"""A file is there whole or not at all, and an error names the place that cannot be written."""

import errno
import os
from multiprocessing import get_context

import pytest

from tag_rewards.errors import InputError
from tag_rewards.files.journal import Journal
from tag_rewards.files.whole import NotWrittenError, explained, whole, write_whole
from tests.builders.full_disk import file_size_limit


def test_an_error_leaves_the_file_before_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "before")

    def stop():
        with whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_folder_of_a_file_is_made(tmp_path):
    write_whole(tmp_path / "new" / "folder" / "a.txt", "text")
    assert (tmp_path / "new" / "folder" / "a.txt").read_text() == "text"
    (tmp_path / "file").touch()
    with pytest.raises(NotWrittenError, match=r"a\.txt cannot be written"):
        write_whole(tmp_path / "file" / "a.txt", "text")


def test_what_a_killed_process_left_is_no_part_of_the_next_file(tmp_path):
    path = tmp_path / "a.txt"

    def act():
        with whole(path) as file:
            file.write(b"a long text that was never finished")
            file.flush()
            os._exit(9)

    process = get_context("fork").Process(target=act)
    process.start()
    process.join()
    assert os.listdir(tmp_path) == [".a.txt.partial"]
    write_whole(path, "short")
    assert path.read_text() == "short"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_never_mix(tmp_path):
    path = tmp_path / "a.txt"
    with whole(path) as file:
        file.write(b"first")
        with pytest.raises(InputError, match=f"another process is writing {path}"):
            write_whole(path, "second")
    assert path.read_text() == "first"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, r"No space left on device\); free some space there or give another place"),
        (errno.EROFS, r"Read-only file system\); give another place or allow writing there"),
    ],
)
def test_an_error_without_a_name_gets_that_of_the_place(tmp_path, code, words):
    with (
        pytest.raises(NotWrittenError, match=f"^{tmp_path} cannot be written .{words}") as caught,
        explained(tmp_path),
    ):
        raise OSError(code, os.strerror(code))
    assert caught.value.errno == code


@pytest.mark.parametrize("named", ["out", "out/.new/a", ".", "out/.lock"])
def test_a_place_that_may_not_be_written_is_known_by_what_is_written_there(tmp_path, named):
    out = tmp_path / "out"
    sentence = f"{out} cannot .* give another place or allow writing there; it is as it was"
    with (
        pytest.raises(NotWrittenError, match=sentence),
        explained(out, out / ".new", out / ".lock", also="it is as it was"),
    ):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / named))


def test_errors_of_other_files_stay(tmp_path):
    """A name tells, and where there is none, what cannot come of writing alone."""
    with pytest.raises(OSError, match="the other disk is gone"), explained(tmp_path):
        raise OSError(errno.EIO, "the other disk is gone")
    with pytest.raises(FileNotFoundError) as caught, explained(tmp_path / "out"):
        (tmp_path / "image.png").read_bytes()
    assert not isinstance(caught.value, NotWrittenError)


def test_a_full_disk_costs_a_journal_nothing_that_it_had(tmp_path):
    path = tmp_path / "answers.jsonl"
    records = [{"id": f"{number}", "text": "x" * 90} for number in range(50)]
    with Journal(path, {"model": "A"}) as journal:
        journal.append(records[:10])
        with (
            file_size_limit(1500),
            pytest.raises(NotWrittenError, match=f"{path} cannot .* what was recorded is kept"),
        ):
            journal.append(records[10:])
    assert not path.read_bytes().endswith(b"\n")  # half a line
    with Journal(path, {"model": "A"}) as journal:
        assert [*journal.records.values()] == records[: len(journal.records)]
        assert len(journal.records) >= 10
        journal.append(records[len(journal.records) :])
        journal.finish([record["id"] for record in records])
    assert path.read_text().count("\n") == 50
