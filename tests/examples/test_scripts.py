"""Every example runs from a clone as it is, without a warning, and says something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workplace import ROOT, furnish, run_script

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path):
    folder = furnish(tmp_path)
    assert run_script(folder / "examples" / example.name, folder=folder).strip()
