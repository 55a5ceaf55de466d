"""What the tests of the readers share."""

import pytest

from tag_rewards.errors import InputError


@pytest.fixture
def refusal(tmp_path):
    """The whole sentence with which a reader refuses a folder, the folder's name cut to ROOT."""

    def refusal(read, root=tmp_path):
        with pytest.raises(InputError) as caught:
            read(root)
        return str(caught.value).replace(str(tmp_path), "ROOT")

    return refusal


@pytest.fixture
def touch(tmp_path):
    """Makes empty files, given by their path below the dataset's folder."""

    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return touch


@pytest.fixture
def write(tmp_path):
    """Writes a text file, given by its path below the dataset's folder."""

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path

    return write
