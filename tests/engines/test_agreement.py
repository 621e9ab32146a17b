"""`check` and `explain` say what `run` does: for every transform, kind of column, format, and meaning of rows.

Each situation is a job that is checked, explained and run in this process through the command line's own entry. No
command may end in a bug, a run that fails leaves nothing, and what a run writes is what the transform gives in Python.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from bridgeflow.bridge import to_arrow, to_numpy
from bridgeflow.cli.app import app
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline import job as job_module
from bridgeflow.transforms import registry
from tests.column_kinds import ROWS_OF_SEVERAL, fixed_size_list
from tests.transforms.test_contracts import EXAMPLES

FLAT = np.random.default_rng(0).standard_normal(240) * 50
TABLE = np.random.default_rng(1).standard_normal((240, 3)) * 50
EXAMPLE_ROWS = np.random.default_rng(2).standard_normal((12, 64)) * 50
CUBE = np.random.default_rng(3).standard_normal((12, 2, 64)) * 50


def nulls_in(column, *rows):
    mask = np.zeros(len(column), bool)
    mask[list(rows)] = True
    return pa.array(column.to_pylist(), column.type, mask=mask)


def ragged(x):
    return pa.array([list(row[: 40 + number]) for number, row in enumerate(x)])


def in_arrow(dtype):
    return pa.array(FLAT.astype(dtype))


def child_nulls(x):
    rows = [list(row) for row in x]
    rows[2][1] = None
    return pa.array(rows, pa.list_(pa.float64()))


ARROW = {
    **{f"flat {dtype}": partial(in_arrow, dtype) for dtype in ("f4", "f8", "i2")},
    "flat u1": lambda: pa.array(np.arange(240, dtype="u1")),
    "flat half": lambda: pa.array(FLAT.astype("f2")),
    "flat bool": lambda: pa.array(FLAT > 0),
    "flat bool8": lambda: to_arrow(FLAT > 0),
    "flat complex": lambda: to_arrow(FLAT * 1j),
    "flat bfloat16": lambda: to_arrow(torch.tensor(FLAT).bfloat16()),
    "flat categories of numbers": lambda: pa.array(FLAT.round()).dictionary_encode(),
    "flat text": lambda: pa.array([str(number % 3) for number in range(240)]),
    "flat categories": lambda: pa.array([str(number % 3) for number in range(240)]).dictionary_encode(),
    "flat times": lambda: pa.array(np.arange(240).astype("M8[us]")),
    "flat days": lambda: pa.array(np.arange(240).astype("M8[D]")),
    "flat decimals": lambda: pa.array(FLAT.round(1)).cast(pa.float32()).cast(pa.decimal128(12, 3), safe=False),
    "flat structures": lambda: pa.array([{"a": 1.0, "b": "x"}] * 240),
    "flat nulls": lambda: nulls_in(pa.array(FLAT), 5, 6),
    "flat null type": lambda: pa.nulls(240),
    "categories with nulls": lambda: nulls_in(pa.array(["a", "b"] * 120), 3).dictionary_encode(),
    "one row": lambda: pa.array(FLAT[:1]),
    "lists of text": lambda: pa.array([["a", "b"]] * 12),
    "lists of structures": lambda: pa.array([[{"a": 1.0}]] * 12),
    "lists of lists": lambda: pa.array([[[1.0, 2.0], [3.0, 4.0]]] * 12),
    "ragged lists": lambda: ragged(EXAMPLE_ROWS),
    "lists with a null": lambda: nulls_in(pa.array(list(EXAMPLE_ROWS)), 3),
    "lists with a null inside": lambda: child_nulls(EXAMPLE_ROWS),
    "fixed lists with a null": lambda: nulls_in(fixed_size_list(EXAMPLE_ROWS), 3),
    "empty lists": lambda: pa.array([[]] * 12, pa.list_(pa.float64())),
    "bool tensor": lambda: to_arrow(EXAMPLE_ROWS > 0),
    "complex tensor": lambda: to_arrow(EXAMPLE_ROWS * 1j),
    "bfloat16 tensor": lambda: to_arrow(torch.tensor(EXAMPLE_ROWS).bfloat16()),
    "lists of 3": lambda: pa.array(list(TABLE)),
    "fixed lists of 3": lambda: fixed_size_list(TABLE),
    "tensors of 3": lambda: to_arrow(TABLE.astype("f4")),
    "cube": lambda: to_arrow(CUBE),
    "nested fixed lists": lambda: fixed_size_list(CUBE),
    **{name: partial(make, EXAMPLE_ROWS) for name, make in ROWS_OF_SEVERAL.items()
       if name not in {"ndarray", "tensor"}},
}  # fmt: skip
ARRAYS = {
    **{f"flat {dtype}": partial(FLAT.astype, dtype) for dtype in ("f4", "f8", "i2", "f2", ">f8")},
    "flat bool": lambda: FLAT > 0,
    "flat complex": lambda: FLAT * 1j,
    "flat times": lambda: np.arange(240).astype("M8[us]"),
    "one row": lambda: FLAT[:1],
    "recording": lambda: TABLE,
    "recording in Fortran order": lambda: np.asfortranarray(TABLE),
    "examples": lambda: EXAMPLE_ROWS.astype("f4"),
    "integer examples": lambda: EXAMPLE_ROWS.astype("i4"),
    "cube": lambda: CUBE,
    "bool examples": lambda: EXAMPLE_ROWS > 0,
}
SOUND = {"mono": lambda: (FLAT * 90).astype("i2"), "stereo": lambda: (TABLE[:, :2] / 200).astype("f4")}
COLUMNS = {"parquet": ARROW, "arrow": ARROW, "arrow_stream": ARROW, "npy": ARRAYS, "npz": ARRAYS, "wav": SOUND}
SUFFIXES = {"parquet": ".parquet", "arrow": ".arrow", "arrow_stream": ".arrows", "npy": ".npy", "npz": ".npz",
            "wav": ".wav"}  # fmt: skip
SINKS = ("npz", "parquet", "arrow", "npy", "wav", "shards", "short shards")
SHOWN_BY_DATA_ALONE = {"ragged lists", "lists with a null", "lists with a null inside", "fixed lists with a null",
                       "empty lists", "lists of 3"}  # fmt: skip
"""Columns of which a plan may not know what a run meets: lengths of lists, and nulls that no statistics count."""

STAGES = [
    (name, transform.to_config()) for name in sorted(EXAMPLES) if name != "Compose" for transform in EXAMPLES[name]
]


@dataclass(frozen=True)
class Situation:
    """A job, drawn at random."""

    format: str
    column: str
    stage: int
    rows: str | None
    nulls: str
    sink: str
    in_chunks: bool

    def __str__(self):
        _, config = STAGES[self.stage]
        how = f"rows {self.rows}, nulls {self.nulls}, {'chunks, ' if self.in_chunks else ''}to {self.sink}"
        return f"{self.format} {self.column!r} through {json.dumps(config)}: {how}"


def situations(seed):
    draw = random.Random(seed)
    while True:
        format = draw.choice(list(COLUMNS))
        yield Situation(
            format=format,
            column=draw.choice(list(COLUMNS[format])),
            stage=draw.randrange(len(STAGES)),
            rows=draw.choice([None, "instants", "examples"]),
            nulls=draw.choice(["error", "keep"]),
            sink=draw.choice(SINKS),
            in_chunks=draw.random() < 0.4,
        )


@cache
def column_of(format, column):
    return COLUMNS[format][column]()


def write_source(folder, situation):
    path = folder / f"x{SUFFIXES[situation.format]}"
    column = column_of(situation.format, situation.column)
    if path.exists():
        path.unlink()
    if situation.format == "parquet":
        pq.write_table(pa.table({"v": column}), path)
    elif situation.format in {"arrow", "arrow_stream"}:
        make = pa.ipc.new_file if situation.format == "arrow" else pa.ipc.new_stream
        with make(path, pa.schema([pa.field("v", column.type)])) as writer:
            writer.write_table(pa.table({"v": column}), max_chunksize=100)
    elif situation.format == "npy":
        np.save(path, column)
    elif situation.format == "npz":
        np.savez(path, v=column)
    else:
        with open_sink(path, settings={"fs": 100}) as sink:
            sink.write({"v": column})
    return path


def write_job(folder, situation, path):
    fields = {situation.format: path.name, "fs": 100, "nulls": situation.nulls}
    fields |= {"rows": situation.rows} if situation.rows else {}
    fields |= {"columns": ["v"]} if situation.format in {"npy", "wav"} else {}
    sink = {"shards": {"arrow": "out/"}, "short shards": {"parquet": "out/", "shard_rows": 5}}.get(
        situation.sink, {situation.sink: f"out{SUFFIXES.get(situation.sink, '')}"}
    )
    if situation.sink == "wav":
        sink["normalize"] = False  # the values are counts
    job = {"version": 1, "source": fields, "transforms": [STAGES[situation.stage][1]], "sink": sink}
    (folder / "job.yaml").write_text(json.dumps(job))


def expected(situation):
    """What the transform gives in Python, its rows first; `None` where that is not one array of numbers."""
    x = column_of(situation.format, situation.column)
    values = to_numpy(x)
    rows = (
        "instants" if values.ndim < 2 else situation.rows or ("instants" if situation.format == "wav" else "examples")
    )
    moved = rows == "instants" and values.ndim > 1
    name, config = STAGES[situation.stage]
    transform = registry.lookup(name).from_config(config)
    if name in {"ToTensor", "ToNumpy", "ToArrow", "ToDevice", "SharedView", "Clone", "Detach"}:
        return values
    y = to_numpy(transform(np.moveaxis(values, 0, -1) if moved else values))
    if y.ndim == 0:
        return y[None]
    axis = (transform.stream_axis % y.ndim if y.ndim > 1 else 0) if rows == "instants" else 0
    return np.moveaxis(y, axis, 0)


def run(*arguments):
    done = CliRunner().invoke(app, list(arguments), prog_name="bridgeflow")
    said = done.output.strip().replace("\n", " ")
    return done.exit_code, said[-300:]


def complaints(situation, folder, monkeypatch):
    """What is wrong with one situation; and whether the job ran."""
    for old in folder.iterdir():
        old.unlink() if old.is_file() else None
    try:
        path = write_source(folder, situation)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, BridgeflowError):
        return None, False  # the format does not hold such a column
    write_job(folder, situation, path)
    before = sorted(folder.iterdir())
    monkeypatch.setattr(job_module, "CHUNK_NBYTES", 400 if situation.in_chunks else 8 << 20)
    (checked, check_said), (explained, explain_said) = run("check", "job.yaml"), run("explain", "job.yaml")
    ran, run_said = run("run", "job.yaml")
    problems = [
        f"{verb} ends with {code}: {said}"
        for verb, code, said in (
            ("check", checked, check_said),
            ("explain", explained, explain_said),
            ("run", ran, run_said),
        )
        if code not in (0, 2)
    ]
    by_data = situation.column in SHOWN_BY_DATA_ALONE and ran == 2
    if checked != ran and not by_data and not problems:
        problems.append(f"check {checked} ({check_said[-160:]}), run {ran} ({run_said[-200:]})")
    if explained > ran and not problems:
        problems.append(f"explain {explained} ({explain_said[-160:]}), run {ran}")
    if ran and sorted(folder.iterdir()) != before and "shards" not in situation.sink:
        problems.append(f"run failed and left {set(folder.iterdir()) - set(before)}")
    if ran == 0 and not problems:
        problems += different(situation, folder)
    remove(folder / "out")
    return problems, ran == 0


def different(situation, folder):
    try:
        right = expected(situation)
    except BridgeflowError:
        return []  # text and the like, which no array holds
    out = folder / "out" if "shards" in situation.sink else next(folder.glob("out.*"))
    if "shards" in situation.sink and not list(out.glob("part-*")):
        return [] if not len(right) else ["no shards, and there should be rows"]
    if situation.sink == "wav" and right.dtype.kind not in "iu":
        right = np.asarray(right, "f4")
    try:
        with open_source(out) as source:
            columns = source.read()
    except BridgeflowError as error:
        return [f"wrote what cannot be read: {error}"]
    else:
        got = np.stack([to_numpy(column) for column in columns.values()], -1) if len(columns) > 1 else None
        got = to_numpy(next(iter(columns.values()))) if got is None else got
    if situation.sink == "wav" and got.ndim == 1 and right.ndim == 2:
        got = got[:, np.newaxis]  # a file of one channel is read without an axis of channels
    if got.shape != right.shape:
        return [f"wrote {got.shape}, and the transform gives {right.shape}"]
    if right.dtype.kind in "mM":  # which tensors hold as ticks
        same = got.astype(right.dtype) == right if got.dtype.kind in "mM" else got == right.astype("i8")
        return [] if same.all() else ["wrote other times"]
    close = 2e-2 if "bfloat16" in situation.column else 1e-3
    if not np.allclose(got, right, rtol=close, atol=close * (np.abs(right).max(initial=0) or 1), equal_nan=True):
        return ["wrote other values than the transform gives"]
    return []


def remove(folder):
    if folder.is_dir():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if not path.is_dir() else path.rmdir()
        folder.rmdir()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(count, seed, folder, monkeypatch):
    counts, wrong = Counter(), []
    for situation, _ in zip(situations(seed), range(count), strict=False):
        problems, ran = complaints(situation, folder, monkeypatch)
        counts["skipped" if problems is None else "ran" if ran else "refused"] += 1
        wrong += [f"{situation}\n      {one}" for one in problems or ()]
    counts["wrong"] = len(wrong)
    return counts, wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of SciPy, about zeros
def test_check_and_run_agree(folder, monkeypatch):
    _, wrong = sweep(40, 1, folder, monkeypatch)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(4))
def test_check_and_run_agree_everywhere(folder, monkeypatch, seed, capsys):
    counts, wrong = sweep(1000, 100 + seed, folder, monkeypatch)
    with capsys.disabled():
        print(f"\ncheck, explain and run, seed {seed}: {dict(counts)}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("format", ["arrow", "arrow_stream", "npy", "npz", "parquet", "wav"])
def test_folders_that_are_missing_are_made_by_run_and_by_no_check(tmp_path, format):
    np.savez(tmp_path / "in.npz", v=np.sin(np.arange(100)), fs=100)
    suffix = {"arrow_stream": "arrows"}.get(format, format)
    job = tmp_path / "job.yaml"
    job.write_text(f"version: 1\nsource: {{npz: in.npz}}\ntransforms: []\nsink: {{{format}: new/er/out.{suffix}}}\n")
    for command in ("check", "explain", "run"):
        assert not (tmp_path / "new").exists()
        result = CliRunner().invoke(app, [command, str(job)])
        assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "new/er").iterdir()] == [f"out.{suffix}"]


@pytest.mark.parametrize("source", ["parquet", "arrow", "arrow_stream"])
@pytest.mark.parametrize("stages", ["[]", "[{Clone: {}}]", "[{ToArrow: {}}]"])
@pytest.mark.parametrize("sink", ["npy", "npz", "wav"])
def test_nulls_that_the_sink_cannot_hold_are_refused_by_check(folder, source, stages, sink):
    with open_sink(folder / f"x{SUFFIXES[source]}") as opened:
        opened.write({"v": column_of("arrow", "flat nulls")})
    Path("job.yaml").write_text(
        f"version: 1\nsource: {{{source}: x{SUFFIXES[source]}, fs: 100, nulls: keep}}\ntransforms: {stages}\n"
        f"sink: {{{sink}: out.{sink}}}\n"
    )
    for verb in ("check", "run"):
        code, output = run(verb, "job.yaml")
        assert (code, "2 of its rows are null" in output) == (2, True), output
    assert not list(folder.glob("out*"))


@pytest.mark.parametrize("sink", ["parquet", "arrow"])
def test_nulls_that_the_sink_holds_are_written(folder, sink):
    pq.write_table(pa.table({"v": column_of("arrow", "flat nulls")}), folder / "x.parquet")
    Path("job.yaml").write_text(
        "version: 1\nsource: {parquet: x.parquet, fs: 100, nulls: keep}\ntransforms: [{Clone: {}}]\n"
        f"sink: {{{sink}: out.{sink}}}\n"
    )
    assert run("check", "job.yaml")[0] == run("run", "job.yaml")[0] == 0
    with open_source(folder / f"out.{sink}", nulls="keep") as source:
        assert source.read()["v"].null_count == 2
