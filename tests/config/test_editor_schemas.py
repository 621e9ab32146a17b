"""The schemas that editors use: every field explained; shipped configurations valid, mutated ones refused by both."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from click.testing import CliRunner

from bridgeflow._document import read_document
from bridgeflow.cli.app import app
from bridgeflow.config import config_schema, parse_job, parse_pipeline, pipeline_schema
from bridgeflow.errors import BridgeflowError
from docs import generate
from tests.configs.workplace import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SCHEMAS = {"job": config_schema(), "pipeline": pipeline_schema()}
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


def kind(path):
    return "pipeline" if path.stem.startswith("train_") else "job"


def plain(path):
    return read_document(path.read_bytes(), path.name).root.plain()


def refusal(path, config):
    """What loading says of a configuration; empty where it loads."""
    parse = parse_pipeline if kind(path) == "pipeline" else parse_job
    try:
        overrides = ["source.fs=44100"] if path.stem == "wav_in_wav_out" else []  # its file is the user's
        parse(json.dumps(config).encode(), name=path.name, folder=path.parent, overrides=overrides)
    except BridgeflowError as error:
        return str(error)
    return ""


def properties(node, steps=()):
    """Every schema of a key, with the way to it."""
    if isinstance(node, dict):
        for name, one in node.get("properties", {}).items() if isinstance(node.get("properties"), dict) else ():
            yield (*steps, name), one
        for key, one in node.items():
            yield from properties(one, (*steps, key))
    elif isinstance(node, list):
        for number, one in enumerate(node):
            yield from properties(one, (*steps, number))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_explained(name):
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    seen = 0
    for steps, one in properties(schema):
        if one in (True, False) or (steps[-1] == "function" and "if" in steps):
            continue
        if "$ref" in one and "description" not in one:
            one = schema["$defs"][one["$ref"].rpartition("/")[2]]
        assert one.get("description"), steps
        seen += 1
    assert seen > 300


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_name_their_schema_and_fit_it(path):
    line = path.read_text().splitlines()[0]
    assert line == f"# yaml-language-server: $schema={kind(path)}.schema.json"
    assert not list(VALIDATORS[kind(path)].iter_errors(plain(path)))
    assert refusal(path, plain(path)) == ""


def places(value, steps=()):
    yield steps
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*steps, key))


def mutants(config):
    """Configurations with one thing wrong in each: an unknown key, or a value of a type that none takes there."""
    for steps in places(config):
        for wrong in ({"unknown key": 1}, [[{}]]):
            changed = copy.deepcopy(config)
            parent, node = None, changed
            for step in steps:
                parent, node = node, node[step]
            if isinstance(node, dict) and "unknown key" in wrong:
                node["unknown key"] = 1
            elif parent is not None:
                parent[steps[-1]] = wrong
            else:
                continue
            yield steps, changed


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_wrong_is_refused_by_both(path):
    count = 0
    for steps, changed in mutants(plain(path)):
        if steps == ("split", "fractions") and isinstance(changed["split"]["fractions"], dict):
            continue  # names of parts are free
        count += 1
        assert refusal(path, changed), steps
        assert not VALIDATORS[kind(path)].is_valid(changed), steps
    assert count > 20


def test_the_files_beside_the_configurations_are_what_is_generated():
    for path, text in generate.schemas().items():
        stored = json.loads(path.read_text(encoding="utf-8"))  # releases of pydantic write 0 or 0.0
        assert stored == json.loads(text), f"{path.name} is behind: run `make docs`"


def test_the_command_prints_each():
    def printed(*arguments):
        return json.loads(CliRunner().invoke(app, ["schema", *arguments]).stdout)

    assert printed() == SCHEMAS["job"]
    assert printed("--pipeline") == SCHEMAS["pipeline"]
    one = printed("--transform", "SignalFilter")
    assert one["properties"]["order"]["description"]
    assert jsonschema.Draft202012Validator(one).is_valid({"design": "butter", "order": 2, "cutoff": 20, "fs": 100})
    assert printed("--transform", "Compose")["$defs"]["Scale"]
    assert "size" in printed("--transform", "torchvision.Resize")["properties"]
    said = CliRunner().invoke(app, ["schema", "--transform", "Scael"])
    assert said.exit_code == 2
    assert "did you mean 'Scale'" in said.stdout + said.stderr
