"""How commands end where no reader is left: full disks, closed pipes and closed descriptors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bridgeflow
from tests.cli.forks import Commands

SOURCES = str(Path(bridgeflow.__file__).parents[1])
PROGRAM = [sys.executable, "-c", "from bridgeflow.cli import main; main()"]
JOB = "version: 1\nsource: {npy: in.npy, fs: 100}\ntransforms: [{Scale: {scale: 2}}]\nsink: {npy: out.npy}\n"
SHARDS = JOB.replace("out.npy", "out/")
COMMANDS = {
    "run": ["run", "job.yaml"],
    "run of shards": ["run", "shards.yaml"],
    "check": ["check", "job.yaml"],
    "explain": ["explain", "job.yaml"],
    "list": ["list"],
    "schema": ["schema"],
    "help": ["--help"],
    "mistake": ["run", "none.yaml"],
    "usage": ["runn"],
}


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "in.npy", np.arange(1000.0))
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "shards.yaml").write_text(SHARDS)
    return tmp_path


def closed_pipe():
    """The writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def full_disk():
    return open("/dev/full", "w")


@pytest.fixture(scope="module")
def commands():
    """Commands in forks of one process, with the streams that they are given."""
    forks = Commands()
    yield forks
    forks.close()


@pytest.fixture
def ended(commands, folder):
    """Exit code of a command, and what was said on the streams that were not given."""
    return lambda arguments, **streams: commands.run(folder, arguments, **streams)


def started(folder, arguments, **streams):
    """The same in a process that is started for it."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False, **streams}
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    return subprocess.run([*PROGRAM, *arguments], cwd=folder, env=environment, **options)


@pytest.mark.parametrize("stream", [full_disk, closed_pipe])
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"mistake", "usage"}])
def test_standard_output_that_cannot_be_written_is_exit_code_3(folder, ended, command, more, stream):
    if more and command == "help":
        pytest.skip("has no --json")
    with stream() as output:
        done = ended([*COMMANDS[command], *more], stdout=output)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert said == (
        [] if stream is closed_pipe else ["bridgeflow: the system refused: [Errno 28] No space left on device"]
    )
    if command == "run":
        assert np.array_equal(np.load(folder / "out.npy"), 2 * np.arange(1000.0))


@pytest.mark.parametrize("stream", [full_disk, closed_pipe])
@pytest.mark.parametrize(
    ("command", "code"), [("run", 3), ("run of shards", 3), ("check", 0), ("mistake", 2), ("usage", 2)]
)
def test_standard_error_that_cannot_be_written_does_not_stop_the_work(folder, ended, command, code, stream):
    with stream() as output:
        done = ended(COMMANDS[command], stderr=output)
    assert done.returncode == code
    if command == "run":
        assert np.array_equal(np.load(folder / "out.npy"), 2 * np.arange(1000.0))


def test_nobody_listens_at_all(folder):
    with closed_pipe() as output:
        assert started(folder, ["run", "none.yaml", "--json"], stdout=output, stderr=output).returncode == 2
        assert started(folder, ["run", "job.yaml"], stdout=output, stderr=output).returncode == 3
    assert (folder / "out.npy").exists()


@pytest.mark.parametrize("command", ["run", "mistake"])
def test_a_fork_ends_as_a_process_does(folder, ended, command):
    with full_disk() as output:
        results = [call(stdout=output) for call in (
            lambda **streams: ended(COMMANDS[command], **streams),
            lambda **streams: started(folder, [*COMMANDS[command], *["--overwrite"] * (command == "run")], **streams),
        )]  # fmt: skip
    assert results[0].returncode == results[1].returncode
    assert results[0].stderr == results[1].stderr


@pytest.mark.parametrize("closed", ["0", "1", "2", "1 2", "0 1 2"])
def test_descriptors_that_the_caller_has_closed_are_left_to_no_file_of_the_job(folder, closed):
    script = (
        "import os, sys\n"
        f"for number in {closed.split()}: os.close(int(number))\n"
        f"os.execv(sys.executable, [*{PROGRAM!r}, 'run', 'job.yaml', '--overwrite'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={**os.environ, "PYTHONPATH": SOURCES}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    assert np.array_equal(np.load(folder / "out.npy"), 2 * np.arange(1000.0))


def test_an_encoding_without_the_characters_of_a_name(folder):
    environment = {**os.environ, "PYTHONPATH": SOURCES, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PROGRAM, "check", "µ.yaml"], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"bridgeflow: \\xb5.yaml: no such file")


NAMES = ["a\x1b]0;owned\x07", "\u202etxt.exe", "\x9b31m", "zero\u200bwidth", "line\nbreak", "long" * 50_000, "µV"]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, id=str(n), marks=[pytest.mark.slow] * (0 < n < 5)) for n, name in enumerate(NAMES)]
)
def test_names_of_columns_do_not_steer_the_terminal(folder, ended, command, name):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: np.arange(10.0)}), folder / "in.parquet")
    text = JOB.replace("npy: in.npy", "parquet: in.parquet").replace("npy: out.npy", "arrow: out.arrow")
    (folder / "job.yaml").write_text(text)
    (folder / "wrong.yaml").write_text(text.replace("scale: 2", "scale: 2, keys: [other]"))
    done = ended([command, "job.yaml"])
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    assert len(done.stdout + done.stderr) < 5_000
    machine = ended([command, "job.yaml", "--json"])
    assert machine.stdout.replace("\n", "").isprintable()
    assert json.loads(machine.stdout)
    refused = ended([command, "wrong.yaml"])
    assert refused.returncode == 2
    assert refused.stderr.replace("\n", "").isprintable()
    assert len(refused.stderr) < 2_000
