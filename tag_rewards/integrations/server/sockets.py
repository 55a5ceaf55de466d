"""A listening socket that every worker process has for itself."""

from __future__ import annotations

import socket

__all__ = ["OwnSocket"]


class OwnSocket(socket.socket):
    """A bound socket that arrives in another process as a new one at the same address.

    Workers that share one socket do not share the load: whichever wakes first accepts all waiting
    connections, and keeps them as long as the clients do. With a socket each (`SO_REUSEPORT`) the
    kernel deals the connections out.

    Args:
        host: name or address to bind to.
        port: port to bind to; 0 chooses a free one.

    Raises:
        OSError: the address cannot be used.

    Example:
        >>> import pickle
        >>> with OwnSocket("127.0.0.1", 0) as mine, pickle.loads(pickle.dumps(mine)) as theirs:
        ...     mine.getsockname() == theirs.getsockname(), mine.fileno() == theirs.fileno()
        (True, False)
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind((host, port))

    def __reduce__(self) -> tuple[type[OwnSocket], tuple[str, int]]:
        return OwnSocket, self.getsockname()[:2]
