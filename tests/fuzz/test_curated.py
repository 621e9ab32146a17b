"""SciPy's functions, over all their options and short data of every kind, give a result or refuse by name."""

from __future__ import annotations

import pytest

from bridgeflow.signal.scipy_list import FUNCTIONS
from tests.fuzz.curated import fuzz


def test_some_calls_of_every_function_are_done_or_refused():
    counts, wrong = fuzz(FUNCTIONS, every=1999)
    assert not wrong, wrong[:10]
    assert min(counts["done"], counts["refused"]) > 100


@pytest.mark.slow
@pytest.mark.parametrize("function", [*FUNCTIONS])
def test_every_option_of_a_function_is_done_or_refused(function, capsys):
    counts, wrong = fuzz([function], every=7)
    with capsys.disabled():
        print(f"\n{function}, calls over its options: {counts.total()} {dict(counts)}")
    assert not wrong, f"{len(wrong)}: {wrong[:10]}"
