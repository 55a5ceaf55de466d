"""Each worker gets its share of the connections."""

import pickle
import socket
from contextlib import ExitStack, suppress

import pytest

from tag_rewards.integrations.server.run import OwnSocket

CLIENTS = 64


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernel_deals_connections_out(host):
    with ExitStack() as stack:
        bound = stack.enter_context(OwnSocket(host, 0))
        workers = [stack.enter_context(pickle.loads(pickle.dumps(bound))) for _ in range(2)]
        for worker in workers:
            worker.listen(CLIENTS)
            worker.setblocking(False)
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection(bound.getsockname()[:2], timeout=10))
        counts = []
        for worker in workers:
            accepted = 0
            with suppress(BlockingIOError):
                while True:
                    stack.enter_context(worker.accept()[0])
                    accepted += 1
            counts.append(accepted)
    assert sum(counts) == CLIENTS
    # Fair coins give a worker fewer than 10 of 64 once in a hundred million times.
    assert min(counts) >= 10
