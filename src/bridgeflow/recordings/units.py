"""Units of channels as text: which of them measure the same, and by which power of ten they differ."""

from __future__ import annotations

__all__ = ["in_si", "power_between"]

_PREFIXES = {"": 0, "G": 9, "M": 6, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}

_BASES = ("T/m", "V", "T", "S", "M", "A", "s", "m", "g", "Hz", "Pa")
"""Units that take prefixes; of several that a text ends in, the first."""

_OTHERS = {"T/cm": ("T/m", 2), "degC": ("degC", 0), "C": ("degC", 0), "°C": ("degC", 0)}


def in_si(unit: str) -> tuple[str, int] | None:
    """The SI unit that a unit belongs to, and the power of ten from it to SI; `None` where it is not known.

    >>> in_si("uV"), in_si("µV"), in_si("fT/cm"), in_si("M"), in_si("bpm")
    (('V', -6), ('V', -6), ('T/m', -13), ('M', 0), None)
    """
    text = unit.strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    if text in _OTHERS:
        return _OTHERS[text]
    for base, (si, power) in {**{base: (base, 0) for base in _BASES}, **_OTHERS}.items():
        prefix = _PREFIXES.get(text.removesuffix(base)) if text.endswith(base) else None
        if prefix is not None:
            return si, prefix + power
    return None


def power_between(before: str, after: str) -> int | None:
    """The power of ten that values in one unit are multiplied with to be in another; `None` where they measure other
    things.

    >>> power_between("V", "uV"), power_between("fT/cm", "T/m"), power_between("V", "T")
    (6, -13, None)
    """
    one, other = in_si(before), in_si(after)
    return None if one is None or other is None or one[0] != other[0] else one[1] - other[1]
