"""The engine `ray` with its workers and its driver killed: the tree of the local engine, and no process left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bridgeflow.io import open_sink
from bridgeflow.io.commit import sha256_of
from tests.faults.jobs import ENVIRONMENT, require_whole, tree

pytest.importorskip("ray", reason="the engine ray")

RECORDINGS, SHARDS_EACH = 8, 40
JOB = """\
version: 1
source: {arrow: in/, fs: 360, rows: ROWS}
transforms:
  - Scale: {scale: 0.005}
  - SignalFilter: {design: notch, w0: 60, Q: 30}
sink: {parquet: OUT/, shard_rows: 100}
"""
RUN = [sys.executable, "-m", "bridgeflow", "run", "job.yaml", "--engine", "ray", "--threads", "2", "--json"]


@pytest.fixture(params=["instants", "examples"], ids=["recordings", "rows"])
def folder(request, tmp_path_factory):
    """Recordings and a job over them, with what the local engine makes of them in `local`."""
    folder = tmp_path_factory.mktemp(request.param)
    for number in range(RECORDINGS):
        values = np.random.default_rng(number).standard_normal((100 * SHARDS_EACH, 64), "float32")
        with open_sink(folder / "in" / f"r{number}.arrow") as sink:
            sink.write({"ecg": values})
    (folder / "job.yaml").write_text(JOB.replace("ROWS", request.param).replace("OUT", "local"))
    command = [sys.executable, "-m", "bridgeflow", "run", "job.yaml", "--json"]
    subprocess.run(command, env=ENVIRONMENT, cwd=folder, check=True, capture_output=True)
    (folder / "job.yaml").write_text(JOB.replace("ROWS", request.param).replace("OUT", "out"))
    return folder


def start(folder):
    environment = {**ENVIRONMENT, "PYTHONWARNINGS": "error"}
    environment.pop("OMP_NUM_THREADS")
    return subprocess.Popen(RUN, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stat(pid):
    """The name of a process, its parent, and when it started; `None` where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    state, parent, *rest = text.rpartition(")")[2].split()
    return None if state == "Z" else (name, int(parent), rest[17])


def descendants(pid):
    """Processes below one, by their number."""
    every = {int(one): found for one in os.listdir("/proc") if one.isdigit() and (found := stat(one))}
    below, grown = {pid}, True
    while grown:
        more = {one for one, (_, parent, _) in every.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return {one: every[one] for one in below - {pid} if one in every}


def require_gone(processes, within=90):
    """No process of these runs any more."""
    end = time.monotonic() + within
    while True:
        left = {pid: found for pid, found in processes.items() if (now := stat(pid)) and now[2] == found[2]}
        if not left:
            return
        assert time.monotonic() < end, left
        time.sleep(0.1)


def workers(pid):
    """Processes that do the work of a driver at this moment."""
    names = ("ray::commit_recording", "ray::hash_some", "ray::Map", "ray::Read")
    return [one for one, (name, _, _) in descendants(pid).items() if name.startswith(names)]


def owned(folder, pid):
    try:
        return (folder / "out" / ".lock").read_text() == f"{pid}\n"
    except FileNotFoundError:
        return False


def visible(folder):
    """What readers see, while workers of a killed driver may still be writing hidden files."""
    files = [one for one in folder.rglob("*") if one.is_file() and not one.name.startswith(".")]
    return {str(one.relative_to(folder)): sha256_of(one) for one in files}


def kill_workers(folder, kills, seed):
    """Kill a worker at a random moment after each commit: while they start, which takes seconds, they are spared."""
    chance = random.Random(seed)
    run, done, below, seen = start(folder), 0, {}, 0
    while run.poll() is None:
        log = folder / "out" / "log"
        records = len(os.listdir(log)) if log.is_dir() else 0
        if done < kills and records > max(seen, 1) and (busy := workers(run.pid)):
            time.sleep(chance.uniform(0.0, 0.1))
            below |= descendants(run.pid)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(busy), signal.SIGKILL)
            done, seen = done + 1, len(os.listdir(log))
        time.sleep(0.01)
    said, complained = run.communicate()
    assert run.returncode == 0, said + complained
    require_gone(below)
    return done


@pytest.mark.slow
def test_workers_killed_leave_the_bytes_of_the_local_engine(folder):
    kills = 30
    done = kill_workers(folder, kills, 0)
    print(f"\n{done} workers killed")
    assert tree(folder / "out") == tree(folder / "local")
    assert done == kills


@pytest.mark.slow
def test_driver_killed_and_run_again(folder):
    chance, reference, kills, whole = random.Random(1), tree(folder / "local"), 0, 0
    while kills < 10:
        run = start(folder)
        while not owned(folder, run.pid) and run.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 4))
        below = descendants(run.pid)
        run.kill()
        run.communicate()
        kills += run.returncode == -signal.SIGKILL
        if (folder / "out").exists():
            require_whole(visible(folder / "out"), reference)
        if (folder / "out" / "manifest.json").exists():
            whole += 1
            (folder / "out").rename(folder / f"whole-{whole}")
        elif kills < 10:
            continue  # at once, while workers of the killed driver may still be writing
        require_gone(below)
    run = start(folder)
    said, complained = run.communicate()
    assert run.returncode == 0, said + complained
    assert tree(folder / "out") == reference
    print(f"\ndriver killed {kills} times, {whole + 1} jobs finished")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_interrupted_it_ends_soon_and_leaves_no_process(folder, number, code):
    run = start(folder)
    while not (folder / "out" / "log").is_dir() and run.poll() is None:
        time.sleep(0.01)
    time.sleep(1)
    below = descendants(run.pid)
    began = time.monotonic()
    run.send_signal(number)
    said, complained = run.communicate()
    took = time.monotonic() - began
    print(f"\nended after {took:.2f} s")
    assert run.returncode == code, said + complained
    require_gone(below)
    require_whole(tree(folder / "out"), tree(folder / "local"))
    assert took < 10
