"""What `/metrics` tells Prometheus.

With several workers each process writes to files that prometheus-client adds up, in the folder
`PROMETHEUS_MULTIPROC_DIR`, which must be set before that package is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from tag_rewards.integrations.scorer import SAMPLE_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TENTHS = tuple(tenth / 10 for tenth in range(11))


class Metrics:
    """Counters of one app; each app has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tag_rewards_requests",
            "Requests by endpoint and status; other: no endpoint of the server.",
            ("endpoint", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tag_rewards_request_seconds",
            "From the head of a request to the end of its response.",
            ("endpoint",),
            buckets=_LATENCY,
            registry=self._registry,
        )
        self._completions = Counter(
            "tag_rewards_completions", "Completions scored.", registry=self._registry
        )
        self._sums = Counter(
            "tag_rewards_component_sum",
            "Sum of a score's component over all completions; divided by "
            "tag_rewards_completions_total it is the mean.",
            ("component",),
            registry=self._registry,
        )
        self._sum_of = {key: self._sums.labels(key) for key in SAMPLE_KEYS}
        self._score = Histogram(
            "tag_rewards_score", "Scores of completions.", buckets=_TENTHS, registry=self._registry
        )

    def count_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def count_scores(self, results: Sequence[dict[str, float]]) -> None:
        """Count the scores of the completions of one request."""
        self._completions.inc(len(results))
        for key, total in self._sum_of.items():
            total.inc(sum(result[key] for result in results))
        for result in results:
            self._score.observe(result["score"])

    def text(self) -> bytes:
        """All of it in Prometheus' text format, those of the other workers included."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)
