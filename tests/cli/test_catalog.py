"""`bridgeflow list NAME`, `--version` and completion."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bridgeflow import __version__
from bridgeflow.cli.app import app
from bridgeflow.cli.catalog import describe
from bridgeflow.io import all_formats
from bridgeflow.signal.scipy_list import FUNCTIONS
from bridgeflow.transforms import registry


def bridgeflow(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="bridgeflow")


@pytest.mark.parametrize("name", registry.names())
def test_every_field_of_a_transform_has_type_default_and_meaning(name):
    schema = registry.lookup(name).field_schema()
    entry = describe(name)
    assert entry["about"]
    assert [field["name"] for field in entry["fields"]] == list(schema["properties"])
    for field in entry["fields"]:
        assert field["meaning"], f"{name}.{field['name']} is not explained by the docstring's Args"
        assert field["type"]
        assert field["required"] == (field["name"] in schema.get("required", ()))
    said = bridgeflow("list", name)
    assert said.exit_code == 0
    assert all(any(line.startswith(f"{field} ") for line in said.stdout.splitlines()) for field in schema["properties"])
    assert json.loads(bridgeflow("list", name, "--json").stdout) == entry


@pytest.mark.parametrize("name", [*all_formats(), *FUNCTIONS])
def test_formats_and_functions_are_described_too(name):
    entry = json.loads(bridgeflow("list", name, "--json").stdout)
    assert entry["name"] == name
    if name in FUNCTIONS:
        assert [field["name"] for field in entry["fields"]] == list(FUNCTIONS[name].options)
    else:
        assert entry["suffixes"] == list(all_formats()[name].suffixes)


def test_scipy_lists_its_functions():
    said = bridgeflow("list", "Scipy").stdout
    assert all(f" {name}\n" in said for name in FUNCTIONS)


def test_a_name_that_is_none_has_neighbours():
    done = bridgeflow("list", "Scael")
    assert done.exit_code == 2
    assert "did you mean 'Scale'" in done.stderr


def test_version():
    assert bridgeflow("--version").stdout == f"bridgeflow {__version__}\n"


def test_completion_knows_the_commands():
    environment = {
        **os.environ, "_BRIDGEFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "bridgeflow ch", "COMP_CWORD": "1",
    }  # fmt: skip
    line = [sys.executable, "-c", "from bridgeflow.cli import main; main()"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain,check"]
