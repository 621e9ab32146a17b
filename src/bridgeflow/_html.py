"""What pages and notebooks show: tables, pipelines and curves as HTML that needs nothing else.

No script, no font, no address. Pictures are SVG in the page's own colours, light or dark as the reader's system is. All
text is escaped: names of columns and channels come from files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from bridgeflow.errors import printable

__all__ = ["POINTS", "Markup", "card", "curves", "facts", "figure", "flow", "style", "table", "text"]

POINTS = 300
"""Places along a curve; of what is longer, the least and the greatest value of each place are drawn."""

_BETWEEN = " \N{MIDDLE DOT} "
_LIGHT = (
    "--ground: #fdfdfb; --text: #33332f; --faint: #6d6d66; --line: #d9d9d2; --before: #7d7d77; --after: #0b5fa5; "
    "--view: #2f7d4f; --copy: #9a5b00; --move: #a83a26;"
)
_DARK = (
    "--ground: #16181b; --text: #e4e4df; --faint: #a3a39c; --line: #3a3e44; --before: #9a9a94; --after: #6cb6f5; "
    "--view: #6fcf97; --copy: #f0b35a; --move: #f28b76;"
)
_RULES = (
    ("p, figcaption", "color: var(--faint);"),
    (".scrolls", "overflow-x: auto;"),
    ("table", "border-collapse: collapse; width: 100%; font-size: .9rem; color: inherit;"),
    (
        "th, td",
        "text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); "
        "background: none; white-space: normal; max-width: none;",
    ),
    (".bytes", "text-align: right; font-variant-numeric: tabular-nums;"),
    (".view", "color: var(--view);"),
    (".copy", "color: var(--copy);"),
    (".move", "color: var(--move);"),
    ("td b", "font-weight: 600;"),
    ("ol.flow", "display: flex; flex-wrap: wrap; gap: .6rem 0; list-style: none; padding: 0; margin: .6rem 0;"),
    (".flow li", "border: 1px solid var(--line); border-radius: .4rem; padding: .3rem .7rem; margin: 0;"),
    (".flow li + li", "margin-left: 1.8rem; position: relative;"),
    (".flow li + li::before", 'content: "\\2192"; position: absolute; left: -1.45rem; color: var(--faint);'),
    ("figure", "margin: 0;"),
    ("svg", "width: 100%; height: 6rem; display: block; border: 1px solid var(--line); border-radius: .3rem;"),
    ("polyline", "fill: none; stroke-width: 1.3; vector-effect: non-scaling-stroke;"),
    (".before", "stroke: var(--before);"),
    (".after", "stroke: var(--after);"),
)
_CARD = (
    "background: var(--ground); color: var(--text); font: 14px/1.45 system-ui, sans-serif; padding: .7rem 1rem; "
    "border: 1px solid var(--line); border-radius: .4rem; overflow-wrap: break-word;"
)
_IN_CARDS = (
    ("h4", "font-size: 1rem; margin: 0 0 .4rem;"),
    ("p", "margin: .4rem 0;"),
    ("svg", "height: 2.2rem; min-width: 12rem; border: 0;"),
)


def style(scope: str = "") -> str:
    """The rules of a page, or of what stands in an element of a class: light, and dark where the reader's system is.

    Args:
        scope: the class, `".bridgeflow"`; empty for a page.
    """
    root = scope or ":root"
    rules = [
        f"{root} {{ color-scheme: light dark; {_LIGHT} }}",
        f"@media (prefers-color-scheme: dark) {{ {root} {{ {_DARK} }} }}",
    ]
    for selectors, declarations in (*_RULES, *(_IN_CARDS if scope else ())):
        names = ", ".join(f"{scope} {one}".strip() for one in selectors.split(", "))
        rules.append(f"{names} {{ {declarations} }}")
    return "\n".join(rules)


def text(value: object, limit: int = 2_000) -> str:
    """Text as HTML shows it: escaped, control characters spelled out, cut in its middle where it is too long."""
    return escape(printable(str(value), limit))


def card(title: str, *parts: str) -> str:
    """What a notebook shows of an object: a title and parts, which are HTML."""
    scope = "bridgeflow"
    rules = f"<style>.{scope} {{ {_CARD} }}\n{style(f'.{scope}')}</style>"
    return f'<div class="{scope}">{rules}<h4>{text(title, 200)}</h4>{"".join(parts)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their names. Cells are text, or HTML of this module (`Markup`)."""
    head = "".join(f'<th scope="col"{_class(name)}>{text(name)}</th>' for name in header)
    body = "".join(
        f"<tr>{''.join(_cell(name, cell) for name, cell in zip(header, row, strict=True))}</tr>\n" for row in rows
    )
    return f'<div class="scrolls"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _class(name: str) -> str:
    return ' class="bytes"' if name == "bytes" else ""


def _cell(name: str, cell: object) -> str:
    if isinstance(cell, Markup):
        return f"<td>{cell}</td>"
    if name == "action":
        kind = cell if cell in {"view", "copy", "move"} else "other"
        return f'<td><b class="{kind}">{text(cell)}</b></td>'
    return f"<td{_class(name)}>{text(cell)}</td>"


def flow(stages: Iterable[str]) -> str:
    """Stages one after the other, with arrows between them."""
    return f'<ol class="flow">{"".join(f"<li>{text(stage, 200)}</li>" for stage in stages)}</ol>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values on one line, those without a value left out."""
    shown = [f"{text(name)} <b>{text(value, 300)}</b>" for name, value in pairs if value not in (None, "", ())]
    return f"<p>{_BETWEEN.join(shown)}</p>"


def figure(values: Any, side: str) -> str:
    """A curve with its range below it; a gap where values are not finite."""
    low, high = _range(values)
    words = f"{side}: {len(values):,} values from {low:.4g} to {high:.4g}"
    return f"<figure>{curves([values], side, words)}<figcaption>{text(words)}</figcaption></figure>"


def curves(rows: Sequence[Any], side: str = "after", words: str = "") -> Markup:
    """Curves of real numbers in one picture, on one scale.

    Args:
        rows: ndarrays `[time]`.
        side: `"before"` or `"after"`, which decides the colour.
        words: what the picture shows, for those who do not see it.
    """
    ranges = [_range(row) for row in rows]
    low = min((one for one, _ in ranges), default=0.0)
    high = max((one for _, one in ranges), default=0.0)
    lines = "".join(
        f'<polyline class="{side}" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in run)}"/>'
        for row in rows
        for run in _runs(row, low, high)
    )
    box = f'viewBox="0 0 {POINTS} 100" preserveAspectRatio="none"'
    return Markup(f'<svg {box} role="img" aria-label="{text(words)}">{lines}</svg>')


def _range(values: Any) -> tuple[float, float]:
    import numpy as np

    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def _runs(values: Any, low: float, high: float) -> Iterator[list[tuple[float, float]]]:
    """Points of the curve between gaps, scaled into the picture."""
    import numpy as np

    count = min(POINTS, len(values))
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
        x = POINTS * (number + 0.5) / count
        for value in dict.fromkeys((float(piece.min()), float(piece.max()))):
            level = 0.5 if high <= low else (value / 2 - low / 2) / (high / 2 - low / 2)
            run.append((x, 95 - 90 * level))
    if run:
        yield run
