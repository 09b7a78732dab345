"""A lake in a folder or at an address; Sail in this process, or the Spark cluster that is named."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagcast.lake import Lake


@pytest.fixture(scope="session")
def sail_url() -> Iterator[str]:
    """A Spark Connect server: Sail, or the cluster that `python3 dev.py spark` names."""
    if (named := os.environ.get("TAGCAST_TEST_SPARK")) is not None:
        yield named
        return
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    yield f"sc://127.0.0.1:{server.listening_address[1]}"
    server.stop()


@pytest.fixture(params=["folder", "address"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path / "lake" if request.param == "folder" else f"file://{tmp_path}/lake")
    (tmp_path / "lake").mkdir()
    yield made
    made.close()
