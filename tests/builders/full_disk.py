"""A disk that is full, as far as this process sees."""

import resource
from contextlib import contextmanager


@contextmanager
def file_size_limit(size):
    """Files end at so many bytes in this process; writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
