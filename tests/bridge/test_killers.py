"""Nothing that kills the process or corrupts data below gets through our functions, and no view outlives its memory."""

from __future__ import annotations

import os
import signal

import pytest

from tests.bridge import killers, lifetimes, scenarios


@pytest.mark.parametrize("name", scenarios.names(killers))
def test_refused_by_name_or_handled(name: str):
    assert scenarios.outcomes("tests.bridge.killers")[name] == ""


@pytest.mark.parametrize("name", scenarios.names(lifetimes))
def test_a_view_keeps_its_memory_alive(name: str):
    assert scenarios.outcomes("tests.bridge.lifetimes")[name] == ""


def test_a_crash_and_a_failure_would_be_seen():
    assert scenarios.in_a_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) == "killed by SIGKILL"
    assert "wrong" in scenarios.in_a_child(lambda: pytest.fail("wrong"))
    assert scenarios.in_a_child(lambda: None) == ""
