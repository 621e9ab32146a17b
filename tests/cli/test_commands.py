"""Every command: an example below its help, quiet and JSON output, completion in a shell, and files of pipelines."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bridgeflow.cli.app import app
from bridgeflow.doctor import Finding
from bridgeflow.io import open_sink


def commands(group, names=()):
    """Every command below a group, by the words that call it."""
    for name, command in sorted(getattr(group, "commands", {}).items()):
        yield (*names, name), command
        yield from commands(command, (*names, name))


ALL = dict(commands(app))


def bridgeflow(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="bridgeflow")


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_the_help_ends_with_examples_whose_options_exist(words):
    done = bridgeflow(*words, "--help")
    assert done.exit_code == 0
    _, _, examples = done.stdout.partition("Example:\n")
    lines = [shlex.split(line, comments=True) for line in examples.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert line[0] == "bridgeflow"
        called = next(ALL[tuple(line[1:end])] for end in (3, 2) if tuple(line[1:end]) in ALL)
        if words[0] != "plot":
            assert ALL[words] is called
        known = {option for one in called.params for option in one.opts}
        used = {word for word in line if word.startswith("--")}
        assert words == ("plot", "filter") or used <= known


WORKING = [words for words in ALL if words != ("plot",)]
CALLS = {
    "run": ["run", "job.yaml", "--overwrite"],
    "check": ["check", "job.yaml", "--overwrite"],
    "explain": ["explain", "job.yaml"],
    "plot filter": ["plot", "filter", "job.yaml", "--png", "filter.png", "--overwrite"],
    "plot recording": ["plot", "recording", "S0.npy", "--fs", "100", "--png", "night.png", "--overwrite"],
    "info": ["info", "S0.npy", "--fs", "100"],
    "convert": ["convert", "S0.npy", "S0.parquet", "--fs", "100", "--overwrite"],
    "list": ["list"],
    "schema": ["schema"],
    "verify": ["verify", "shards"],
    "doctor": ["doctor"],
}
SILENT = {"check", "explain", "plot filter", "schema", "verify"}
"""Commands that print nothing at all when they are quiet and all is fine."""
FIRST_KEY = {
    "run": "ok", "check": "ok", "explain": "recording", "plot filter": "ok", "plot recording": "ok",
    "info": "recordings", "convert": "ok", "list": "transforms", "schema": "$schema", "verify": "ok",
    "doctor": "findings",
}  # fmt: skip
JOB = """\
version: 1
source: {parquet: rows.parquet}
transforms: [SignalFilter: {keys: [ecg], design: butter, cutoff: 20, order: 2}]
sink: {parquet: %s}
"""


@pytest.mark.parametrize("words", WORKING, ids=" ".join)
@pytest.mark.parametrize("option", ["--json", "--quiet", "--debug"])
def test_every_command_takes_the_common_options(words, option):
    assert option in {one for each in ALL[words].params for one in each.opts}


@pytest.fixture
def calls(folder, monkeypatch):
    """A folder in which every call works."""
    monkeypatch.setattr("bridgeflow.doctor.examine", lambda: [Finding("python", "3"), Finding("x", "1", "note", "do")])
    (folder / "job.yaml").write_text(JOB % "out.parquet")
    (folder / "shards.yaml").write_text(JOB % "shards/")
    assert bridgeflow("run", "shards.yaml", "--quiet").exit_code == 0
    return folder


def test_every_command_has_its_call():
    assert {tuple(name.split()) for name in CALLS} == set(WORKING)


@pytest.mark.parametrize("command", FIRST_KEY)
def test_quiet_and_json_do_what_they_say(calls, command):
    """With `--quiet` no progress, and where a command only says that all is fine, nothing; `--json` is one object."""
    quiet = bridgeflow(*CALLS[command], "--quiet")
    assert (quiet.exit_code, quiet.stderr) == (0, ""), quiet.stderr
    assert (quiet.stdout == "") == (command in SILENT)
    for more in ([], ["--quiet"]):
        machine = bridgeflow(*CALLS[command], "--json", *more)
        assert (machine.exit_code, machine.stderr) == (0, ""), machine.stderr
        assert next(iter(json.loads(machine.stdout))) == FIRST_KEY[command]


def test_what_quiet_leaves():
    names = bridgeflow("list", "--quiet").stdout.split()
    assert {"Scale", "parquet"} <= set(names)
    assert bridgeflow("list", "Scale", "--quiet").stdout.split()[:2] == ["keys", "scale"]


def test_quiet_doctor_names_only_what_may_hurt(calls):
    assert bridgeflow("doctor", "--quiet").stdout == "x  1; note: do\n"


@pytest.mark.parametrize(
    "words",
    [["run", "none.yaml"], ["explain", "none.yaml"], ["schema", "--transform", "Scael"], ["info", "none.edf"]],
    ids=" ".join,
)
def test_mistakes_are_said_however_quiet(calls, words):
    quiet, machine = bridgeflow(*words, "--quiet"), bridgeflow(*words, "--json")
    assert (quiet.exit_code, quiet.stdout, len(quiet.stderr.splitlines())) == (2, "", 1)
    assert (machine.exit_code, machine.stderr, json.loads(machine.stdout)["ok"]) == (2, "", False)


# --- completion ---


@pytest.fixture
def shell(tmp_path):
    """What bash prints, in a home of its own, with `bridgeflow` on its path."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "bridgeflow"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m bridgeflow "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def run(text):
        done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    return run


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_installs_and_completes(shell, tmp_path):
    shell("bridgeflow --install-completion bash")
    installed = tmp_path / ".bash_completions" / "bridgeflow.sh"
    assert str(installed) in (tmp_path / ".bashrc").read_text()
    press_tab = f"""
        source {shlex.quote(str(installed))}
        COMP_WORDS=(%s); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        $(complete -p bridgeflow | sed 's/.*-F \\([^ ]*\\).*/\\1/') bridgeflow
        printf '%%s\\n' "${{COMPREPLY[@]}}"
    """
    assert shell(press_tab % "bridgeflow ch").split() == ["check"]
    assert shell(press_tab % "bridgeflow plot rec").split() == ["recording"]
    assert shell(press_tab % "bridgeflow check --ov").split() == ["--overwrite"]


@pytest.mark.parametrize(
    ("shell_name", "file"),
    [("bash", ".bash_completions/bridgeflow.sh"), ("zsh", ".zfunc/bridgeflow.zsh"),
     ("fish", ".config/fish/completions/bridgeflow.fish")],
)  # fmt: skip
def test_completion_of_every_shell(tmp_path, monkeypatch, shell_name, file):
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = bridgeflow("--show-completion", shell_name).stdout
    assert "_BRIDGEFLOW_COMPLETE" in shown
    for _ in range(2):  # a second time changes nothing
        assert str(tmp_path / file) in bridgeflow("--install-completion", shell_name).stdout
    assert (tmp_path / file).read_text() == shown
    settings = [path for path in tmp_path.iterdir() if path.name.endswith("rc")]
    assert [path.read_text() for path in settings] == (
        [] if shell_name == "fish" else [f"source '{tmp_path / file}'\n"]
    )


def test_completion_of_the_shell_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "fish" in bridgeflow("--show-completion").stdout
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    done = bridgeflow("--show-completion")
    assert (done.exit_code, "no completion for the shell 'tcsh'" in done.output) == (2, True)


# --- pipelines ---

TRAIN = """\
version: 1
source: {recordings: S*.npy, fs: 100}
split: {fractions: {train: 0.5, val: 0.5}}
reject: {flat: 0}
transforms: [Window: {length: 100}, Gain: {keys: [signal], db: 6}]
loader: {batch_size: 4}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for number in range(4):
        with open_sink(tmp_path / f"S{number}.npy") as sink:
            sink.write({"signal": rng.standard_normal(500)})
    with open_sink(tmp_path / "rows.parquet", settings={"fs": 100}) as sink:
        sink.write({"ecg": rng.standard_normal((20, 100)), "label": np.arange(20)})
    (tmp_path / "train.yaml").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check_of_a_pipeline_says_what_each_part_has(folder):
    done = bridgeflow("check", "train.yaml")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["train   2 recordings, 10 windows, 3 batches", "val     2 recordings, 10 windows, 3 batches"]
    assert lines[-1].strip() == "all fine"
    facts = json.loads(bridgeflow("check", "train.yaml", "loader.batch_size=10", "--json").stdout)
    assert facts["parts"]["train"] == {"windows": 10, "batches": 1, "recordings": 2}
    assert bridgeflow("check", "train.yaml", "--quiet").stdout == ""


def test_check_of_a_pipeline_of_rows(folder):
    rows = "sources: {train: {parquet: rows.parquet}}\ntransforms: [Gain: {keys: [%s], db: 6}]\n"
    (folder / "rows.yaml").write_text("version: 1\n" + rows % "ecg")
    assert bridgeflow("check", "rows.yaml").stdout.startswith("train   20 rows, ")
    (folder / "rows.yaml").write_text("version: 1\n" + rows % "egc")
    done = bridgeflow("check", "rows.yaml")
    assert (done.exit_code, "rows.yaml:3:" in done.stderr, "egc" in done.stderr) == (2, True, True), done.stderr


WRONG = {
    "key": ("keys: [signal]", "keys: [sgnal]", "train.yaml:5:"),
    "transform": ("Gain", "Gian", "train.yaml:5:"),
    "files": ("S*.npy", "T*.npy", "train.yaml:2:"),
    "label": ("val: 0.5}", "val: 0.5}, by: subject", "train.yaml:3:"),
    "loader": ("batch_size: 4", "batch_size: 0", "train.yaml:6:"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_check_of_a_pipeline_refuses_what_a_script_would_be_refused(folder, fault):
    before, after, place = WRONG[fault]
    (folder / "train.yaml").write_text(TRAIN.replace(before, after))
    done = bridgeflow("check", "train.yaml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert place in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_options_of_jobs_are_refused_for_pipelines(folder):
    done = bridgeflow("check", "train.yaml", "--overwrite")
    assert (done.exit_code, "which writes nothing" in done.stderr) == (2, True)


def test_the_shipped_pipeline_is_fine():
    configs = Path(__file__).parents[2] / "configs"
    assert bridgeflow("check", str(configs / "train_ecg.yaml"), "--root", str(configs.parent)).exit_code == 0
