"""Values on the command line in the place of the file's: the same types and errors, with the place in the text."""

# ruff: noqa: E501  (tables read better unbroken)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bridgeflow.cli.app import app
from bridgeflow.config import parse_job
from bridgeflow.errors import ConfigError
from bridgeflow.io import open_sink, open_source

JOB = b"""\
version: 1
source: {parquet: in.parquet, columns: [ecg], fs: 360}
transforms:
  - Scale: {keys: [ecg], scale: 0.005}
  - Compose: {stages: [Clone, Scale: {scale: 2}]}
sink: {parquet: out.parquet}
"""


def parse(*overrides):
    return parse_job(JOB, name="job.yaml", folder="/data", overrides=overrides)


def test_values_take_the_place_of_the_files():
    job = parse("source.fs=250.5", "transforms[0].Scale.scale=0.5", "transforms.1.Compose.stages[1].Scale.scale=1e2",
                "sink.parquet=sub/o.parquet", "sink.compression=zstd", "report.hum=50", "source.columns=[a, b]")  # fmt: skip
    assert (job.source.fs, job.source.columns) == (250.5, ("a", "b"))
    assert (job.transform.stages[0].scale, job.transform.stages[1].stages[1].scale) == (0.5, 100.0)
    assert (job.sink.path, job.sink.compression, job.report.hum) == (Path("/data/sub/o.parquet"), "zstd", 50.0)
    assert parse("transforms[1]=Detach").transform.stages[1].to_config() == {"Detach": {"keys": None}}
    assert len(parse("transforms=[]").transform.stages) == 0


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("source.fs=fast", "source.fs=fast:1:11: source.fs: expected a number, got 'fast'"),
        ("source.fss=1", "source.fss=1:1:1: source.fss: unknown key 'fss'; did you mean 'fs'"),
        ("source.columns=[ecg, 3]", "source.columns=[ecg, 3]:1:22: source.columns[1]: expected text, got 3"),
        (
            "transforms[0].Scale.scale=true",
            "transforms[0].Scale.scale=true:1:27: transforms[0].Scale.scale: Input should",
        ),
        (
            "transforms[0].Scale.scael=1",
            "transforms[0].Scale.scael=1:1:1: transforms[0].Scale.scael: Scale has no field",
        ),
        (
            "transforms[2]=Clone",
            "transforms[2]=Clone:1:1: there is no '2' here: transforms is a list of 2, counted from 0",
        ),
        ("transforms.x=Clone", "there is no 'x' here: transforms is a list of 2"),
        ("version.x=1", "version.x=1:1:1: 'x' leads nowhere: version is 1"),
        ("source[0]=1", "'0' leads nowhere: source is a map"),
        ("version=2", "version=2:1:9: version: expected 1, got 2"),
        ("sink.parquet=~/x", "a path is taken as it is written"),
        ("sink.parquet=!!python/name:os.system x", "tags (tag:yaml.org,2002:python/name:os.system) are not allowed"),
        ("source.fs=.nan", "numbers must be finite"),
        ("source.fs", "an override is written as key.path=value"),
        ("source.fs=", "an override is written as key.path=value"),
        ("=1", "expected 1 to 32 keys, got 0"),
        ("source..fs=1", "expected keys with dots between them"),
        (".source=1", "expected keys with dots between them"),
        ("a" + ".a" * 40 + "=1", "expected 1 to 32 keys, got 41"),
        ("source.fs=" + "[" * 40, "at most 32 levels deep"),
    ],
)
def test_mistakes_and_their_places(override, problem):
    with pytest.raises(ConfigError) as caught:
        parse(override)
    assert problem in str(caught.value)


def test_there_are_at_most_a_hundred():
    with pytest.raises(ConfigError, match="101 values to override, at most 100"):
        parse(*["source.fs=1"] * 101)


def test_the_commands_take_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_sink("in.parquet") as sink:
        sink.write({"ecg": np.arange(10.0)})
    Path("job.yaml").write_bytes(JOB)
    said = CliRunner().invoke(app, ["run", "job.yaml", "sink.parquet=b.parquet", "transforms[0].Scale.scale=3"])
    assert said.exit_code == 0, said.stderr
    with open_source("b.parquet") as source:
        assert np.asarray(source.read()["ecg"]).tolist() == [6.0 * n for n in range(10)]
    facts = json.loads(CliRunner().invoke(app, ["explain", "job.yaml", "transforms=[Clone]", "--json"]).stdout)
    assert len(facts["steps"]) == 1
    said = CliRunner().invoke(app, ["check", "job.yaml", "source.fs=x"])
    assert said.exit_code == 2
    assert "source.fs=x:1:11: source.fs: expected a number" in said.stderr
