"""Places in nested data, and the keys that select them.

Places are written `$.ecg.lead[0]`. A key selects by the same language without the `$.`: `"ecg"` (everything below),
`"lead.*"`, `"lead?"`, `"lead[0]"`, `"lead[*]"`, `"**.waveform"` (at any depth), and `'["odd.name"]'` for a name with
dots or brackets in it. `"*"` alone selects every array at any depth, as `"**"` and `"$"` do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Keys", "Segment", "as_key", "parse_key", "parse_keys", "place"]

Keys = str | Sequence[str] | None

_SIMPLE = re.compile(r"[^\W\d][\w-]*")

_TOKEN = re.compile(
    r"""\.?(?P<name>[^.\[\]]+) | \[(?P<index>\d+|\*)\] | \[(?P<json>"(?:[^"\\]|\\.)*")\] | \['(?P<quoted>[^']*)'\]""",
    re.VERBOSE | re.DOTALL,
)


class Segment(NamedTuple):
    """One step of a key, of kind `name` (may hold wildcards), `exact` (quoted), `index` (or `*`), or `deep` (`**`)."""

    kind: str
    text: str

    @property
    def literal(self) -> bool:
        """Whether it can match one child alone."""
        return self.kind == "exact" or (self.kind != "deep" and not set(self.text) & {"*", "?"})

    def matches(self, step: object) -> bool:
        """Whether a child reached by `step` (a name, a number, or another dictionary key) is meant."""
        if self.kind == "index":
            return isinstance(step, int) and (self.text == "*" or step == int(self.text))
        if self.kind == "name" and self.text == "*":
            return True
        if not isinstance(step, str):
            return False
        return step == self.text if self.kind == "exact" else fnmatchcase(step, self.text)


def place(path: Sequence[object]) -> str:
    """A path in words.

    >>> place(["ecg", "lead", 0]), place(["odd.name"])
    ('$.ecg.lead[0]', '$["odd.name"]')
    """
    return "$" + "".join(map(_spell, path))


def _spell(step: object) -> str:
    if isinstance(step, str):
        return f".{step}" if _SIMPLE.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"
    return f"[{step!r}]"


def as_key(path: Sequence[object]) -> str:
    """The key that selects exactly this path.

    >>> as_key(["ecg", "lead", 0])
    'ecg.lead[0]'
    """
    return place(path)[1:].removeprefix(".") or "$"


@lru_cache(maxsize=1024)
def parse_key(key: str) -> tuple[Segment, ...]:
    """The segments of one key.

    >>> [segment.text for segment in parse_key("lead.*[0]")]
    ['lead', '*', '0']
    """
    text = key[1:] if key.startswith("$") else "**" if key == "*" else key
    segments, end = [], 0
    while end < len(text):
        token = _TOKEN.match(text, end)
        if token is None:
            raise ValueError(
                f"keys: {key!r} is not a path (character {end + 1}); "
                "paths look like 'ecg', 'lead.*', 'lead[0]' or '[\"odd.name\"]'"
            )
        name, index, quoted = token["name"], token["index"], token["json"]
        if name is not None:
            segments.append(Segment("deep" if name == "**" else "name", name))
        elif index is not None:
            segments.append(Segment("index", index))
        else:
            segments.append(Segment("exact", token["quoted"] if quoted is None else json.loads(quoted, strict=False)))
        end = token.end()
    if not segments and key != "$":
        raise ValueError(f"keys: {key!r} is not a path; '$' means everything, as does keys=None")
    return tuple(segments)


def parse_keys(keys: object) -> tuple[str, ...] | None:
    """`keys` as a tuple of well-formed paths, or `None`; a lone string counts as a tuple of one.

    >>> parse_keys("ecg"), parse_keys(["ecg", "lead.*"])
    (('ecg',), ('ecg', 'lead.*'))
    """
    if keys is None:
        return None
    parsed = (keys,) if isinstance(keys, str) else tuple(keys) if isinstance(keys, (list, tuple)) else None
    if not parsed or not all(isinstance(key, str) for key in parsed):
        raise ValueError(f"keys must be None or paths such as ('ecg', 'lead.*'), got {keys!r}")
    for key in parsed:
        parse_key(key)
    return parsed
