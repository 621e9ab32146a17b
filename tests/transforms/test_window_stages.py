"""The stages that cut and label windows of recordings: values with a configuration, that refuse arrays."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from bridgeflow import ConfigError, Transform
from bridgeflow.testing import CLAUSES
from bridgeflow.transforms import registry
from tests.transforms.window_stages import WINDOW_STAGES

STAGES = [one for stages in WINDOW_STAGES.values() for one in stages]


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_they_are_values_with_a_configuration(stage: Transform):
    for clause in ("immutable", "configurable"):
        CLAUSES[clause](stage, None, 0.0)
    schema = registry.schema()
    jsonschema.validate(json.loads(json.dumps(stage.to_config())), schema)


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_they_refuse_arrays_and_plans(stage: Transform):
    keys = getattr(stage, "keys", None)
    data = {"ecg" if keys is None else keys[0]: np.zeros((2, 100))}
    with pytest.raises(ConfigError, match="recordings"):
        stage(data)
    with pytest.raises(ConfigError, match="recordings"):
        stage.explain(data)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"EventWindow": {"event": [], "start": 0, "stop": 1}}, "event must be the text of events"),
        ({"EventWindow": {"event": "a", "start": 1, "stop": 1}}, "stop must be after start"),
        ({"RandomWindow": {"length": "2 parsecs"}}, "must be a number of samples, or a duration"),
        ({"WholeRecording": {"pad": "zeros"}}, "needs max_length"),
        ({"EventLabels": {"classes": ["a"], "min_overlap": 1.5}}, "from 0 to 1"),
        ({"EventLabels": {"classes": ["a"], "rule": "most"}}, "majority"),
        ({"EventLabels": {"classes": ["a"], "name": ""}}, "name must be text"),
    ],
    ids=str,
)
def test_what_they_refuse(config: object, problem: str):
    with pytest.raises(ConfigError, match=problem):
        Transform.from_config(config)
