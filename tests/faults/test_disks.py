"""Row 10 of the faults to survive: a full disk, a broken one, at the k-th write or fsync, for every k."""

import json

import pytest

from tests.faults.jobs import committed, require_whole, tree

SYSTEM = 3


def failed_and_resumed(server, folder, fault, reference):
    status, said = server.run(folder, fault=fault)
    assert status == SYSTEM, said
    assert "the system refused" in said
    assert "Traceback" not in said
    left = tree(folder / "out") if (folder / "out").exists() else {}
    require_whole(left, reference)
    assert not any(name.rpartition("/")[2].startswith(".") for name in left), left  # nothing half-written is left
    kept = committed(left)
    status, said = server.run(folder)
    assert status == 0, said
    assert tree(folder / "out") == reference
    return len(kept)


def sweep(server, make, format, every):
    folder = make(f"reference-{format}", format)
    status, said = server.run(folder, report=folder / "calls.json")
    assert status == 0, said
    reference = tree(folder / "out")
    calls = [call for call in json.loads((folder / "calls.json").read_text()) if call in {"write", "fsync"}]
    faults = [(what, at) for at in range(1, len(calls) + 1, every) for what in ("ENOSPC", "EIO")]
    kept = 0
    for what, at in faults:
        fault = [what, at, ["write", "fsync"], what == "ENOSPC"]  # a full disk stays full
        kept += failed_and_resumed(server, make(f"{format}-{what}-{at}", format), fault, reference)
    print(
        f"\n{format}: {len(faults)} faults at {len(calls)} writes and fsyncs; {kept} shards committed before were kept"
    )


def test_some_writes_and_fsyncs_fail(server, make):
    sweep(server, make, "arrow", 9)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_every_write_and_fsync_fails_once(server, make, format):
    sweep(server, make, format, 1)


@pytest.mark.parametrize("call", ["link", "replace", "unlink", "open", "mkdir"])
def test_other_calls_fail_without_a_traceback(server, make, call):
    """The first call of each kind; where the run makes none, it succeeds."""
    folder = make(call)
    status, said = server.run(folder, fault=["EIO", 1, [call], False])
    assert status in {0, 2, SYSTEM}, said  # 2: a folder that cannot be made is one that the job should not have named
    assert "Traceback" not in said
    status, said = server.run(folder)
    assert status == 0, said
