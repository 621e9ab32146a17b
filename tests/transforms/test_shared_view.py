"""SharedView: what the plan refuses is what the transform refuses."""

import pyarrow as pa
import pytest

from bridgeflow.bridge import describe
from bridgeflow.errors import NoRoute
from bridgeflow.transforms import SharedView


@pytest.mark.parametrize("across", ["thread", "process"])
def test_days_are_refused_beforehand(across):
    days = pa.array([1, 2], pa.date32())
    stage = SharedView(across=across)
    for refused in (lambda: stage.out_spec(describe(days)), lambda: stage(days)):
        with pytest.raises(NoRoute, match=r"no memory serves all three views.*; cast it to a dtype of all three"):
            refused()
