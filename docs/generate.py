"""Write the generated parts of the documentation: `python docs/generate.py`, or `make docs`.

`docs/crossings.md` is prose around tables; each table stands between two comments and is printed from the rules that
the conversions run on. A test compares the page with what this prints, so neither can drift from the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from bridgeflow.bridge import Rule, table
from bridgeflow.bridge.ragged import GATHER, ROWS
from bridgeflow.config import config_schema, pipeline_schema

PAGE = Path(__file__).parent / "crossings.md"
TABLE = re.compile(r"(?P<open><!-- routes: (?P<name>.+?) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
HEADER = "| rule | what happens | why | in words | remedy |\n| --- | --- | --- | --- | --- |\n"


def page(text: str) -> str:
    """The page with its tables printed again."""
    return TABLE.sub(lambda found: found["open"] + _table(_rules(found["name"])) + found["close"], text)


def names(text: str) -> list[str]:
    """The routes that the page shows, in order."""
    return [found["name"] for found in TABLE.finditer(text)]


def _rules(name: str) -> Iterable[Rule]:
    """The rules of a route, each once, in the order in which they are tried."""
    if name == "rows of unequal length":
        return (*GATHER, *ROWS)
    source, _, target = name.partition(" to ")
    pairs = {(str(a), str(b)): rules for (a, b), rules in table().items()}
    return pairs[source, target]


def _table(rules: Iterable[Rule]) -> str:
    return HEADER + "".join(map(_row, rules))


def _row(rule: Rule) -> str:
    says = re.sub(r"\{spec\.(\w+)\}", r"(its \1)", rule.says)
    remedy = re.sub(r"\{spec\.(\w+)\}", r"(its \1)", rule.remedy)
    cells = (rule.name, _ACTIONS[rule.action], rule.reason or "", says, remedy)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


_ACTIONS = {"view": "view", "copy": "**copy**", "move": "**move**", "refuse": "*refused*"}


def schemas() -> dict[Path, str]:
    """The JSON Schemas beside the shipped configurations, which name them for editors."""
    folder = Path(__file__).parents[1] / "configs"
    contents = {"job": config_schema(), "pipeline": pipeline_schema()}
    return {folder / f"{name}.schema.json": json.dumps(schema, indent=1) + "\n" for name, schema in contents.items()}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
