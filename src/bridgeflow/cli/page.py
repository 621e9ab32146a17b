"""The page that `bridgeflow explain --html` writes: the plan, the pipeline drawn, and what stages do to data.

One file that needs nothing else: no script, no font, no address. Pictures are SVG in the page's own colours, so that
they are light or dark as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from bridgeflow.cli.glimpses import Glimpse
from bridgeflow.errors import printable

__all__ = ["page"]

_POINTS = 300
"""Places along a thumbnail; of what is longer, the least and the greatest value of each place are drawn."""

_STYLE = """
:root { color-scheme: light dark; --ground: #fdfdfb; --text: #33332f; --faint: #6d6d66; --line: #d9d9d2;
  --before: #7d7d77; --after: #0b5fa5; --view: #2f7d4f; --copy: #9a5b00; --move: #a83a26; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --text: #e4e4df; --faint: #a3a39c; --line: #3a3e44;
  --before: #9a9a94; --after: #6cb6f5; --view: #6fcf97; --copy: #f0b35a; --move: #f28b76; } }
body { background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 70rem; padding: 0 1.5rem; overflow-wrap: break-word; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p, figcaption { color: var(--faint); }
.scrolls { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th:nth-child(6), td.bytes { text-align: right; font-variant-numeric: tabular-nums; }
.view { color: var(--view); } .copy { color: var(--copy); } .move { color: var(--move); } td b { font-weight: 600; }
ol.flow { display: flex; flex-wrap: wrap; gap: .6rem 0; list-style: none; padding: 0; }
.flow li { border: 1px solid var(--line); border-radius: .4rem; padding: .3rem .7rem; }
.flow li + li { margin-left: 1.8rem; position: relative; }
.flow li + li::before { content: "\\2192"; position: absolute; left: -1.45rem; color: var(--faint); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; } figure { margin: 0; }
svg { width: 100%; height: 6rem; display: block; border: 1px solid var(--line); border-radius: .3rem; }
polyline { fill: none; stroke-width: 1.3; vector-effect: non-scaling-stroke; }
.before { stroke: var(--before); } .after { stroke: var(--after); }
"""


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
    flow = "".join(f"<li>{_text(stage)}</li>" for stage in stages)
    pairs = "".join(map(_pair, shown))
    header = "".join(
        f'<th scope="col">{name}</th>' for name in ("stage", "place", "from", "to", "action", "bytes", "why")
    )
    rows = "".join(_row(step) for step in facts["steps"])
    total = "not known beforehand" if facts["bytes"] is None else f"{facts['bytes']:,}"
    said = "".join(f"<p>{_text(note)}</p>\n" for note in notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n<h1>{_text(title)}</h1>\n"
        f'<h2>Pipeline</h2>\n<ol class="flow">{flow}</ol>\n{said}'
        f'<h2>Plan</h2>\n<div class="scrolls"><table><thead><tr>{header}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>\n"
        f"<p>Bytes to be written: {_text(total)}.</p>\n"
        f"<h2>Stages on data</h2>\n<p>{_text(about)}</p>\n{pairs}\n</body></html>\n"
    )


def _row(step: Mapping[str, str]) -> str:
    action = step["action"] if step["action"] in {"view", "copy", "move"} else "other"
    return (
        f"<tr><td>{_text(step['stage'])}</td><td>{_text(step['place'])}</td><td>{_text(step['from'])}</td>"
        f'<td>{_text(step["to"])}</td><td><b class="{action}">{_text(step["action"])}</b></td>'
        f'<td class="bytes">{_text(step["bytes"])}</td><td>{_text(step["why"])}</td></tr>\n'
    )


def _pair(one: Glimpse) -> str:
    rows = f", the first of {one.channels:,} rows" if one.channels > 1 else ""
    head = f"<h3>{_text(one.stage)}{': ' + _text(one.place) + rows if one.place else ''}</h3>"
    if one.after is None:
        return f"{head}<p>{_text(one.note)}</p>\n"
    before = "<p>there was no array of this name</p>" if one.before is None else _thumbnail(one.before, "before")
    return f'{head}<div class="pair">{before}{_thumbnail(one.after, "after")}</div>\n'


def _thumbnail(values: np.ndarray, side: str) -> str:
    """A curve with its range below it; a gap where values are not finite."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    lines = "".join(
        f'<polyline class="{side}" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in run)}"/>'
        for run in _runs(values, low, high)
    )
    words = f"{side}: {len(values):,} values from {low:.4g} to {high:.4g}"
    return (
        f'<figure><svg viewBox="0 0 {_POINTS} 100" preserveAspectRatio="none" role="img" aria-label="{words}">{lines}'
        f"</svg><figcaption>{words}</figcaption></figure>"
    )


def _runs(values: np.ndarray, low: float, high: float) -> Iterator[list[tuple[float, float]]]:
    """Points of the curve between gaps, scaled into the thumbnail."""
    count = min(_POINTS, len(values))
    edges = np.linspace(0, len(values), count + 1).astype(int)
    run: list[tuple[float, float]] = []
    for number in range(count):
        piece = values[edges[number] : edges[number + 1]]
        piece = piece[np.isfinite(piece)]
        if not len(piece):
            if run:
                yield run
            run = []
            continue
        x = _POINTS * (number + 0.5) / count
        for value in dict.fromkeys((float(piece.min()), float(piece.max()))):
            level = 0.5 if high <= low else (value / 2 - low / 2) / (high / 2 - low / 2)
            run.append((x, 95 - 90 * level))
    if run:
        yield run


def _text(value: object) -> str:
    return escape(printable(str(value), 2_000))
