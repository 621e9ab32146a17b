"""The page that `bridgeflow explain --html` writes: the plan, the pipeline drawn, and what stages do to data.

One file that needs nothing else: no script, no font, no address. Pictures are SVG in the page's own colours, so that
they are light or dark as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridgeflow._html import figure, flow, style, table, text
from bridgeflow.cli.glimpses import Glimpse

__all__ = ["page"]

_STYLE = (
    style()
    + """
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 70rem; padding: 0 1.5rem; overflow-wrap: break-word; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
"""
)

_COLUMNS = ("stage", "place", "from", "to", "action", "bytes", "why")
"""Keys of a step of a plan, which are also the names of the table's columns."""


def page(
    title: str, facts: Mapping[str, Any], stages: Sequence[str], notes: Sequence[str], shown: list[Glimpse], about: str
) -> str:
    """The whole page.

    Args:
        title: what is explained.
        facts: the plan, as `explain --json` prints it.
        stages: names of the stages, what they read and what they make at the ends.
        notes: how it runs, sentence by sentence.
        shown: what each stage does to data.
        about: which data these are.
    """
    pairs = "".join(map(_pair, shown))
    steps = table(_COLUMNS, ([step[name] for name in _COLUMNS] for step in facts["steps"]))
    total = "not known beforehand" if facts["bytes"] is None else f"{facts['bytes']:,}"
    said = "".join(f"<p>{text(note)}</p>\n" for note in notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n<h1>{text(title)}</h1>\n"
        f"<h2>Pipeline</h2>\n{flow(stages)}\n{said}"
        f"<h2>Plan</h2>\n{steps}\n"
        f"<p>Bytes to be written: {text(total)}.</p>\n"
        f"<h2>Stages on data</h2>\n<p>{text(about)}</p>\n{pairs}\n</body></html>\n"
    )


def _pair(one: Glimpse) -> str:
    rows = f", the first of {one.channels:,} rows" if one.channels > 1 else ""
    head = f"<h3>{text(one.stage)}{': ' + text(one.place) + rows if one.place else ''}</h3>"
    if one.after is None:
        return f"{head}<p>{text(one.note)}</p>\n"
    before = "<p>there was no array of this name</p>" if one.before is None else figure(one.before, "before")
    return f'{head}<div class="pair">{before}{figure(one.after, "after")}</div>\n'
