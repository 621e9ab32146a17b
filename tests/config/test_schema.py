"""The JSON Schema of a configuration: whole, made from the registries, and as strict as `check`."""

import json
from itertools import product

import numpy as np
import pytest

from bridgeflow.config import config_schema, parse_job
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import all_formats, open_sink
from bridgeflow.transforms import registry
from bridgeflow.transforms.fields import parse_field
from tests.transforms.test_contracts import EXAMPLES

jsonschema = pytest.importorskip("jsonschema")


def references(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if "$ref" in value else []
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere():
    schema = config_schema()
    for reference in references(schema):
        node = schema
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_it_names_every_format_transform_and_field():
    schema = config_schema()
    for section in ("source", "sink"):
        written = schema["$defs"]["source"]["anyOf"][0] if section == "source" else schema["properties"][section]
        assert set(all_formats()) <= set(written["properties"])
        assert written["oneOf"] == [{"required": [name]} for name in all_formats()]
        assert written["additionalProperties"] is False
    assert set(registry.names()) <= set(schema["$defs"])
    assert schema["properties"]["transforms"]["items"] == {"$ref": "#/$defs/transform"}
    assert "scale" in schema["$defs"]["Scale"]["properties"]


# --- what check accepts is valid, and what is valid has the types that check accepts ---


@pytest.fixture(scope="module")
def validator():
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source that knows its sampling rate."""
    result = tmp_path_factory.mktemp("schema")
    with open_sink(result / "in.parquet", settings={"fs": 360}) as sink:
        sink.write({"ecg": np.zeros(100)})
    return result


def accepts(folder, config):
    """Whether a configuration is a job; JSON is YAML."""
    try:
        parse_job(json.dumps(config).encode(), name="job.yaml", folder=folder)
    except BridgeflowError:
        return False
    return True


def job_of(*stages, **more):
    return {
        "version": 1,
        "source": {"parquet": "in.parquet"},
        "transforms": list(stages),
        "sink": {"parquet": "out.parquet"},
        **more,
    }


def spellings(transform):
    """The ways to write a transform: in full, short, without the rate, with one key alone, with whole numbers."""
    ((name, fields),) = transform.to_config().items()
    defaults = {key: one.get("default", ...) for key, one in registry.lookup(name).field_schema()["properties"].items()}
    short = {key: value for key, value in fields.items() if value != defaults.get(key, ...)}
    yield {name: fields}
    yield {name: short}
    yield {name: {key: value for key, value in short.items() if key != "fs"}}
    yield {name: {**short, "keys": "ecg"}}
    yield {name: {**short, "keys": ["ecg"]}}
    whole = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in short.items()}
    yield {name: whole}
    if not short:
        yield name
        yield {name: None}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_check_accepts_is_valid(validator, folder, name):
    accepted = 0
    for transform in EXAMPLES[name]:
        for stage in spellings(transform):
            if accepts(folder, job_of(stage)):
                accepted += 1
                assert not list(validator.iter_errors(job_of(stage))), stage
                assert not list(validator.iter_errors(job_of({"Compose": {"stages": [stage]}}))), stage
    assert accepted


SECTIONS = {
    "source": [{"columns": ["ecg"]}, {"fs": 360}, {"fs": 0.5}, {"nulls": "keep"}, {"rows": "examples"}],
    "sink": [{"compression": "zstd"}, {"dtype": "int16", "on_overflow": "saturate"}, {}],
    "report": [
        {},
        {"column": "ecg", "before": "Clone"},
        {"hum": 50},
        {"unit": "mV", "png": "a.png", "seconds": [0, 2.5]},
    ],
}


def test_sections_that_check_accepts_are_valid(validator, folder):
    for source, sink, report in product(*SECTIONS.values()):
        config = job_of("Clone", report=report)
        config["source"] |= source
        config["sink"] |= sink
        assert accepts(folder, config), config
        assert not list(validator.iter_errors(config)), config
    shards = job_of(threads=4, sink={"arrow": "out/", "shard_rows": 1000})
    assert accepts(folder, shards)
    assert validator.is_valid(shards)


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    2.5,
    "",
    "x",
    "ecg",
    [],
    [1],
    [1.5, 2],
    ["a"],
    [[1, 2]],
    {},
    {"a": 1},
    [True],
    [None],
]


def type_is_right(name, field, value):
    """Whether `check` has nothing against the type and range of a value, whatever it thinks of its company."""
    try:
        parse_field(registry.lookup(name), field, value)
    except BridgeflowError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(set(registry.names()) - {"Compose", "Scipy", "RandomApply", "OneOf", "SomeOf"}))
def test_types_are_valid_where_check_accepts_them(name):
    schema = config_schema()
    for field, one in schema["$defs"][name]["properties"].items():
        if field == "statistics":  # the path of a file, which is not a field
            continue
        alone = jsonschema.Draft202012Validator({**one, "$defs": schema["$defs"]})
        for value in ODD:
            assert alone.is_valid(value) == type_is_right(name, field, value), (field, value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Scale": {"scale": "2"}}, {"Scale": {"scael": 2}}, {"Scael": {}}, {"Scale": 3}, {"Scale": {}, "Clone": {}},
        "SignalFilterr", {}, 3, None, ["Clone"], {"Scipy": {}}, {"Scipy": {"function": "os.system"}},
        {"Scipy": {"function": "signal.medfilt", "size": 3}},
        {"Window": {}}, "Window", {"Compose": {"stages": [{"Scale": {"scale": "2"}}]}}, {"Compose": {"stages": 3}},
    ],
)  # fmt: skip
def test_mistakes_are_not_valid(validator, folder, wrong):
    assert not accepts(folder, job_of(wrong))
    assert not validator.is_valid(job_of(wrong))
