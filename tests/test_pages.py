"""The generated parts of the documentation are those that the rules print."""

from __future__ import annotations

import runpy

from bridgeflow.bridge import table
from tests.workplace import ROOT

GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate.py"))
PAGE = (ROOT / "docs" / "crossings.md").read_text(encoding="utf-8")


def test_the_tables_are_the_rules():
    assert GENERATOR["page"](PAGE) == PAGE, "run `make docs`"


def test_every_rule_stands_in_some_table():
    shown = {line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")}
    assert {rule.name for rules in table().values() for rule in rules} <= shown


def test_a_page_out_of_date_is_found():
    rule = next(line for line in PAGE.splitlines() if line.startswith("| share |"))
    assert GENERATOR["page"](PAGE.replace(rule, "| share | nothing |")) == PAGE
    assert len(GENERATOR["names"](PAGE)) == 9
