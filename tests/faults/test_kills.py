"""Rows 8 and 9 of the faults to survive: kill -9 anywhere, at every call that changes the disk, and again and again."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.jobs import ENVIRONMENT, ROOT, SHARDS, committed, require_whole, shards, tree

KILL = -signal.SIGKILL


@pytest.fixture
def reference(server, make):
    """What a run that nothing stops leaves, and the calls that it makes."""

    def run(format):
        folder = make(f"reference-{format}", format)
        status, said = server.run(folder, report=folder / "calls.json")
        assert status == 0, said
        files = tree(folder / "out")
        assert len(shards(files)) == len(committed(files)) == SHARDS
        return files, json.loads((folder / "calls.json").read_text())

    return run


def killed_and_resumed(server, folder, at, reference):
    """Kill at a call, look, run again; how many shards were visible without being committed."""
    status, said = server.run(folder, fault=["kill", at, [], False])
    assert status == KILL, said
    left = tree(folder / "out") if (folder / "out").exists() else {}
    require_whole(left, reference)
    redone = len(shards(left)) - len(committed(left))
    assert redone <= 1
    status, said = server.run(folder)
    assert status == 0, said
    assert tree(folder / "out") == reference
    return max(redone, 0)


def sweep(server, make, reference, format, every):
    files, calls = reference(format)
    redone, points = 0, range(1, len(calls) + 1, every)
    for at in points:
        redone += killed_and_resumed(server, make(f"{format}-{at}", format), at, files)
    print(f"\n{format}: {len(points)} kills at {len(calls)} calls, {len(points)} resumes, {redone} shards made again")


def test_killed_at_some_calls_it_resumes_with_the_same_bytes(server, make, reference):
    sweep(server, make, reference, "arrow", 11)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_killed_at_every_call_it_resumes_with_the_same_bytes(server, make, reference, format):
    sweep(server, make, reference, format, 1)


def test_killed_after_every_commit_by_processes_with_other_numbers_of_threads(server, make, reference):
    """Each process restores what the last one wrote down, commits one shard or a few, and dies."""
    files, _ = reference("arrow")
    folder, generations = make("generations"), 0
    while True:
        # A run that goes on links each shard and then its record: it dies when it wants to link a second record.
        status, said = server.run(folder, fault=["kill", 4, ["link"], False], threads=(1, 4, 2)[generations % 3])
        generations += 1
        require_whole(tree(folder / "out"), files)
        if status == 0:
            break
        assert status == KILL, said
        assert generations < 20
    assert tree(folder / "out") == files
    print(f"\n{generations} generations")
    assert generations >= 3


def owns(folder, pid):
    """Whether a process has taken the folder."""
    try:
        return (folder / ".lock").read_text() == f"{pid}\n"
    except FileNotFoundError:
        return False


def random_kills(make, reference, format, count, seed):
    files, _ = reference(format)
    chance, kills, whole = random.Random(seed), 0, 0
    folder = make("random", format)
    for attempt in range(count):
        command = [sys.executable, "-m", "bridgeflow", "run", "job.yaml", "--threads", str(1 + attempt % 4)]
        with subprocess.Popen(
            command, env=ENVIRONMENT, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        ) as run:
            while not owns(folder / "out", run.pid) and run.poll() is None:
                time.sleep(0.001)  # most of the time goes into starting up
            time.sleep(chance.uniform(0, 0.06))
            run.kill()
            run.communicate()
        kills += run.returncode == KILL
        if not (folder / "out").exists():
            continue
        require_whole(tree(folder / "out"), files)
        if (folder / "out" / "manifest.json").exists():
            assert {name: one for name, one in tree(folder / "out").items() if "/." not in f"/{name}"} == files
            whole += 1
            (folder / "out").rename(folder / f"whole-{whole}")
    subprocess.run([sys.executable, "-m", "bridgeflow", "run", "job.yaml"], env=ENVIRONMENT, cwd=folder, check=True,
                   capture_output=True)  # fmt: skip
    assert tree(folder / "out") == files
    print(f"\n{kills} kills at random times, {whole + 1} jobs finished")


def test_killed_at_random_times(make, reference):
    random_kills(make, reference, "arrow", 4, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_times_often(make, reference, seed):
    random_kills(make, reference, "parquet", 50, seed)


def test_the_shim_stands_where_the_disk_is_changed(server, make, reference):
    _, calls = reference("arrow")
    assert {"write", "fsync", "link", "unlink", "open", "ftruncate"} <= set(calls)
    assert calls.count("link") == 2 * SHARDS + 2  # shards, records, the job, the manifest
    assert ROOT.exists()
