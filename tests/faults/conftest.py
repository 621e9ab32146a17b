"""The small job in folders of its own, and a server that runs it with faults."""

import os

import numpy as np
import pytest

from bridgeflow.io import open_sink
from tests.faults.jobs import JOB, Server


@pytest.fixture(scope="session")
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Two short recordings of counts."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, rows in ((0, 2600), (1, 4000)):
        counts = np.random.default_rng(seed).integers(0, 2048, rows).astype(np.uint16)
        with open_sink(folder / f"r{seed}.parquet") as sink:
            sink.write({"ecg": counts})
    return folder


@pytest.fixture
def make(recordings, tmp_path):
    """Folders with the job and its recordings, ready to be run."""

    def make(name, format="arrow"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in").mkdir()
        for path in recordings.iterdir():
            os.link(path, folder / "in" / path.name)
        (folder / "job.yaml").write_text(JOB.replace("FORMAT", format))
        return folder

    return make
