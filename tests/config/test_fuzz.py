"""Configurations changed at random, through every command: exit code 0, 2 or 3, one printable line, with its place.

A configuration is changed in its structure (values of other types, extreme numbers, odd text, keys that are missing or
too many, lists cut and doubled) or in its bytes. Nothing that it says may reach "a bug in BridgeFlow".
"""

# ruff: noqa: E501  (lists of odd values read better unbroken)

import json
import random
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bridgeflow.cli.app import app
from bridgeflow.io import open_sink

BANDPASS = {"design": "butter", "btype": "bandpass", "cutoff": [0.5, 20], "order": 2}
NOTCH = {"design": "notch", "w0": 30, "Q": 5}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of numbers that overflow

JOBS = [
    {"source": {"npz": "in.npz", "columns": ["ecg"], "fs": 100}, "transforms": [{"Scale": {"keys": ["ecg"], "scale": 0.5}}],
     "sink": {"npz": "out.npz"}},
    {"source": {"parquet": "in.parquet", "columns": ["ecg"], "fs": 100},
     "transforms": [{"SignalFilter": {**BANDPASS, "keys": ["ecg"], "mode": "causal"}}, {"SignalFilter": NOTCH}],
     "sink": {"parquet": "out.parquet", "compression": "zstd", "dtype": "float32", "on_overflow": "raise"}},
    {"source": {"wav": "in.wav"}, "transforms": [{"Resample": {"from_hz": 100, "to_hz": 50}}],
     "sink": {"wav": "out.wav", "dtype": "int16", "on_overflow": "saturate"}},
    {"source": {"parquet": "in.parquet", "columns": ["ecg"], "fs": 100, "rows": "instants", "nulls": "error"},
     "transforms": [{"Window": {"length": 50, "hop": 25, "pad": "drop"}}, {"PeakRate": {"distance": 0.2}}],
     "sink": {"arrow": "out.arrow", "compression": "lz4"}},
    {"source": {"npz": "in.npz", "columns": ["ecg"], "fs": 100},
     "transforms": ["Clone", {"Compose": {"stages": [{"ToTensor": {"device": "cpu", "copy": "auto"}}, "Detach"]}},
                    {"Scipy": {"function": "signal.medfilt", "kernel_size": 3}}],
     "sink": {"npy": "out.npy"}, "report": {"column": "ecg", "before": "Clone", "hum": 20, "unit": "mV"}},
    {"source": {"parquet": "many/*.parquet", "columns": ["ecg"], "fs": 100},
     "transforms": [{"MedianFilter": {"kernel_size": 3}}, {"Cast": {"dtype": "float32"}}],
     "sink": {"arrow": "out/", "shard_rows": 100}, "threads": 2},
    {"source": {"recordings": "many/*.parquet", "channels": ["ecg"], "fs": 100, "group": "(?P<name>[ab])[.]", "units": "raw"},
     "transforms": [{"SignalFilter": {**BANDPASS, "mode": "zero_phase"}}, {"Window": {"length": "1 s", "hop": 50}},
                    {"Scale": {"keys": ["signal"], "scale": 0.5}}],
     "sink": {"arrow": "windows/", "shard_rows": 3}, "threads": 2},
    {"source": {"npz": "in.npz", "columns": ["ecg"], "fs": 100},
     "transforms": [{"Stft": {"hop": 10, "nperseg": 20, "win": "hann"}}, {"ToNumpy": {"copy": "auto"}}], "sink": {"npz": "out.npz"}},
    {"source": {"npz": "in.npz", "columns": ["ecg"], "fs": 100},
     "transforms": [{"Detrend": {"type": "linear", "bp": [100]}}, {"Envelope": {}}, {"Decimate": {"q": 2, "n": 4}}],
     "sink": {"npz": "out.npz"}},
]  # fmt: skip

ODD = [
    None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e-300, 1e300, 2**31, 2**63 - 1, -(2**63), 10**30, 1e16, 0.1, "", " ", "x", "ecg", "*",
    "no", "1:30", "2001-01-01", "1e5", "nan", "../x", "/etc/passwd", "~", "$HOME", "http://x", "a" * 5000, "µ", "a.b", "[", "$", "$.",
    "cuda:99", "meta", "gpu", "-1", "raise", "float64", "int8", "complex128", "hann", ["hann"], ["kaiser", 5], ["kaiser"], [], [None],
    [1], [1, 2], [2, 1], [0.5, 20], [1e300, 1], ["ecg"], ["ecg", "ecg"], ["label"], [[1, 2, 3, 1, 0, 0]], [[]], {}, {"a": 1},
    {"Scale": {}}, "Scale", "Compose", "SignalFilter", "Window", {"Window": {"length": 10}}, "butter", "causal", "zero_phase",
    "report.png", ".hidden.npz", "out.pth", "site-packages/out.npz", "in.npz", "none.npz", "many/", "**/*", "out.npz/", "job.yaml",
]  # fmt: skip
RAW = [
    "0" * 5001, "-" + "0" * 5000, "9" * 5000, "0x" + "f" * 5000, "1e999", ".inf", ".nan", "!!python/name:os.system", "&a x", "*a",
    "2001-01-01 00:00:00", "0o7" + "7" * 50, "'" + "k" * 20_000 + "'", "[" * 40 + "]" * 40, '"\\0"', '"\\e[31m"', '"\\u202e"', "- x", "? x",
]  # fmt: skip
KEYS = [
    "keys",
    "fs",
    "x",
    "device",
    "nonfinite",
    "axis",
    "normalize",
    "columns",
    "png",
    "before",
    "a" * 5000,
    "µ",
    "__class__",
    "0",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small inputs of every kind that the jobs name."""
    folder = tmp_path_factory.mktemp("fuzz")
    ecg = np.sin(np.arange(400) / 3).astype(np.float32)
    np.savez(folder / "in.npz", ecg=ecg, label=np.arange(400))
    with open_sink(folder / "in.wav", settings={"fs": 100}, dtype="int16") as sink:
        sink.write({"left": (ecg * 1000).astype(np.int16)})
    table = pa.table({"ecg": ecg, "label": np.arange(400), "text": ["x"] * 400})
    (folder / "many").mkdir()
    for name in ("in.parquet", "many/a.parquet", "many/b.parquet"):
        pq.write_table(table, folder / name)
    return folder


def paths(value, steps=()):
    """Every place in a configuration."""
    yield steps
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths(child, (*steps, key))


def parent_of(config, steps):
    for step in steps[:-1]:
        config = config[step]
    return config


def changed(chance, config):
    """The text of a configuration with one to three changes."""
    config = json.loads(json.dumps({"version": 1, **config}))
    raw = {}
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        config = json.loads(json.dumps(config))  # so that no part stands in two places
        depth = chance.choice([0, 1, 2, 2])
        every = [one for one in paths(config) if one]
        steps = chance.choice([one for one in every if len(one) > depth] or every)
        parent, last = parent_of(config, steps), steps[-1]
        like = [odd for odd in ODD if type(odd) is type(parent[last])]  # what is of the right type gets further
        match chance.randrange(16):
            case 0 | 1:
                parent[last] = chance.choice(ODD)
            case 2:
                del parent[last]
            case 3 if isinstance(parent, dict):
                parent[chance.choice(KEYS)] = chance.choice(ODD)
            case 4 if isinstance(parent, list):
                parent.insert(last, chance.choice([parent[last], *ODD]))
            case 5 if isinstance(parent, dict):
                parent[last] = chance.choice(list(parent.values()))
            case 6 if isinstance(parent, list):
                parent[last] = chance.choice(JOBS)["transforms"][0]
            case 7:
                mark = f"RAW{len(raw)}"
                raw[f'"{mark}"'] = chance.choice(RAW)
                parent[last] = mark
            case _:
                parent[last] = chance.choice(like or ODD)
    text = json.dumps(config, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
    for mark, token in raw.items():
        text = text.replace(mark, token)
    return text.encode("utf-8", "surrogatepass")


def bytes_changed(chance, text):
    """Bytes put in, left out, or turned; other line ends and marks."""
    match chance.randrange(5):
        case 0:
            at = chance.randrange(len(text))
            return text[:at] + bytes(chance.choices(range(256), k=chance.choice([1, 2, 8]))) + text[at:]
        case 1:
            return text[: chance.randrange(len(text))]
        case 2:
            return text.replace(b"\n", b"\r\n")
        case 3:
            return chance.choice([b"\xef\xbb\xbf", b"\t", b"\0", b"---\n", b"%YAML 1.1\n---\n"]) + text
        case _:
            return text.replace(chance.choice([b":", b'"', b",", b"{", b"}"]), chance.choice([b"", b"\t", b"&"]), 1)


def said_by(folder, *arguments):
    """What a command said, with what must hold of it whatever it was given."""
    done = CliRunner().invoke(app, list(arguments), prog_name="bridgeflow")
    said = done.stdout + done.stderr
    assert done.exit_code in {0, 2, 3}, said
    assert "a bug in BridgeFlow" not in said
    assert "Traceback" not in said
    assert said.replace("\n", "").isprintable()
    if done.exit_code:
        last = done.stderr.splitlines()[-1]
        assert len(last) < 2_000
    return done.exit_code, said


def sweep(folder, seed, count):
    """Run `count` changed configurations through the commands; exit codes by command."""
    chance = random.Random(seed)
    counts = Counter()
    for number in range(count):
        text = changed(chance, chance.choice(JOBS))
        if chance.random() < 0.1:
            text = bytes_changed(chance, text)
        (folder / "job.yaml").write_bytes(text)
        codes = {}
        for command in ("check", "explain", "run"):
            try:
                codes[command], said = said_by(folder, command, "job.yaml", *(["--overwrite"] * (command != "explain")))
            except AssertionError as error:
                raise AssertionError(f"{command}, configuration {number} of seed {seed}: {text[:2000]!r}") from error
            counts[command, codes[command]] += 1
            if codes[command] == 2:
                assert re.search(r"^bridgeflow: job\.yaml:\d+:\d+: |^bridgeflow: job\.yaml: is empty", said, re.M), (
                    f"{command}: no place: {said}\n{text[:2000]!r}"
                )
        assert not (codes["check"] == 2 and codes["run"] == 0), f"run does what check refuses: {text[:2000]!r}"
        if number % 20 == 0:
            said_by(folder, "plot", "filter", "job.yaml", "--png", "filter.png", "--overwrite")
            said_by(folder, "list", chance.choice([*map(str, ODD), *KEYS]) or "x")
            said_by(folder, "verify", chance.choice(["out", "many", "none", "job.yaml", "a" * 5000, "."]))
    return counts


@pytest.mark.parametrize("config", JOBS, ids=range(len(JOBS)))
def test_the_jobs_run_as_they_are(data, monkeypatch, config):
    monkeypatch.chdir(data)
    (data / "job.yaml").write_text(json.dumps({"version": 1, **config}))
    for command in ("check", "run"):
        assert said_by(data, command, "job.yaml", "--overwrite")[0] == 0


def test_changed_configurations(data, monkeypatch):
    monkeypatch.chdir(data)
    counts = sweep(data, seed=1, count=60)
    assert min(counts["check", 0], counts["check", 2], counts["run", 0], counts["run", 2]) > 2, counts
    assert sorted(path.name for path in data.iterdir() if path.name.startswith(".")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 10))
def test_many_changed_configurations(data, monkeypatch, seed, capsys):
    monkeypatch.chdir(data)
    counts = sweep(data, seed=seed, count=500)
    with capsys.disabled():
        reported = ", ".join(f"{command} {code}: {count}" for (command, code), count in sorted(counts.items()))
        print(f"\n500 changed configurations of seed {seed}: {reported}")
