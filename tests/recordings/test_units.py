"""Units of channels: which measure the same, and by which power of ten they differ."""

from __future__ import annotations

import pytest

from bridgeflow.recordings.units import in_si, power_between


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("V", ("V", 0)), ("uV", ("V", -6)), ("\N{MICRO SIGN}V", ("V", -6)), ("\N{GREEK SMALL LETTER MU}V", ("V", -6)),
        (" mV ", ("V", -3)), ("nV", ("V", -9)), ("MV", ("V", 6)), ("fT", ("T", -15)), ("T/m", ("T/m", 0)),
        ("fT/cm", ("T/m", -13)), ("pT/m", ("T/m", -12)), ("uS", ("S", -6)), ("M", ("M", 0)), ("mM", ("M", -3)),
        ("degC", ("degC", 0)), ("C", ("degC", 0)),
    ],
)  # fmt: skip
def test_units_that_are_known(unit, expected):
    assert in_si(unit) == expected


@pytest.mark.parametrize("unit", ["", "%", "bpm", "mmHg", "counts", "V/m²", "Volt"])
def test_units_that_are_not(unit):
    assert in_si(unit) is None
    assert power_between(unit, "V") is None


def test_powers_between():
    assert (power_between("uV", "mV"), power_between("mV", "uV"), power_between("V", "T")) == (-3, 3, None)
