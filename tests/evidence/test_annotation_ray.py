"""The same rows through Ray Data, on a real cluster of two nodes too, one of which is lost."""

import threading
import time

import pytest

from tag_rewards.errors import InputError
from tests.builders import REPO
from tests.builders.annotation import FakeDetector, records, run, write_images

pytestmark = pytest.mark.stack

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """60 images, and their rows without Ray; one image kills the detector."""
    monkeypatch.setenv("PYTHONPATH", str(REPO))  # Ray's workers need the fake
    write_images(tmp_path / "images", 60)
    (tmp_path / "images" / "a" / "0002.png").rename(tmp_path / "images" / "a" / "crash.png")
    run(tmp_path / "images", tmp_path / "plain", workers=1)
    return records(tmp_path / "plain")


def test_ray_gives_the_same_rows(tmp_path, plain, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    summary = run(tmp_path / "images", tmp_path / "out", ray=True, workers=2, batch_size=4)
    assert records(tmp_path / "out") == plain
    assert summary.statuses == {"observed": 59, "failed": 1}
    assert not ray.is_initialized()
    (tmp_path / "images" / "a" / "0000.png").rename(tmp_path / "images" / "a" / "broken.png")
    with pytest.raises(InputError, match="the model file is missing"):
        run(tmp_path / "images", tmp_path / "other", ray=True, workers=1)
    assert not ray.is_initialized()


def test_a_cluster_that_loses_a_node_gives_the_same_rows(tmp_path, plain, monkeypatch):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    out = tmp_path / "out"

    def lose_a_node():
        deadline = time.monotonic() + 120
        while not any(out.glob("evidence-*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.05)
        lost.append(len(records(out)))
        cluster.remove_node(node, allow_graceful=False)

    lost = []
    loser = threading.Thread(target=lose_a_node)
    try:
        loser.start()
        detector = FakeDetector(seconds=0.2)
        run(tmp_path / "images", out, detector, ray=True, batch_size=2, shard_rows=1)
        loser.join(timeout=60)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert 0 < lost[0] < 60
    assert records(out) == plain
