"""Rows 11 and 12 of the faults to survive: two runs on one output; SIGINT and SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.jobs import ENVIRONMENT, ROOT, require_whole, tree


def begin(folder, seconds, *, stuck=False, threads=2):
    """A run whose chunks take their time, in a process group of its own; there once it owns its output."""
    arguments = ["run", str(folder / "job.yaml"), "--root", str(folder), "--threads", str(threads), "--json"]
    command = [sys.executable, "-m", "tests.faults.slow", str(seconds), str(int(stuck)), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, start_new_session=True, **pipes)
    while not (folder / "out" / "log" / "job.json").exists() and run.poll() is None:
        time.sleep(0.01)
    assert run.poll() is None, run.communicate()
    return run


def ended(run):
    """Exit code, what was said, and after how many seconds; no process of its group is left."""
    began = time.monotonic()
    said, errors = run.communicate(timeout=60)
    took = time.monotonic() - began
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
    assert "Traceback" not in errors
    return run.returncode, json.loads(said), took


@pytest.fixture
def reference(server, make):
    folder = make("reference")
    assert server.run(folder)[0] == 0
    return tree(folder / "out")


@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_at_once_and_the_next_one_goes_on(server, make, reference, number, code, stuck):
    folder = make("job")
    run = begin(folder, 60, stuck=stuck)
    time.sleep(0.3)
    run.send_signal(number)
    returned, said, took = ended(run)
    print(f"\n{signal.Signals(number).name}{', stuck' if stuck else ''}: out after {took:.2f} s")
    assert returned == code
    assert said["ok"] is False
    left = tree(folder / "out")
    require_whole(left, reference)
    assert not any(name.rpartition("/")[2].startswith(".") for name in left), left
    status, words = server.run(folder)
    assert status == 0, words
    assert tree(folder / "out") == reference


def test_the_second_run_exits_at_once_and_names_the_first(server, make, reference):
    folder = make("job")
    run = begin(folder, 60)
    before = tree(folder / "out")
    status, said = server.run(folder)
    assert status == 2
    assert f"is being written by another run (process {run.pid})" in said
    assert tree(folder / "out") == before
    run.kill()  # nothing is cleaned up, and nothing needs to be
    run.communicate()
    status, said = server.run(folder)
    assert status == 0, said
    assert tree(folder / "out") == reference


def test_many_runs_at_once_make_one_result(make, reference):
    """Some own the folder, one after the other; the others are told so; the result is one run's."""
    folder = make("job")
    command = [sys.executable, "-m", "bridgeflow", "run", "job.yaml", "--json"]
    runs = [
        subprocess.Popen(command, env=ENVIRONMENT, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    said = [json.loads(run.communicate()[0]) for run in runs]
    assert sorted({run.returncode for run in runs}) in ([0], [0, 2])
    for one in said:
        assert one["ok"] or "is being written by another run" in one["error"]["message"]
    assert tree(folder / "out") == reference
