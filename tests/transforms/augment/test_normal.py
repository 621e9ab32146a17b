"""Normal numbers by table: SciPy's distribution, its tails, and independence."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bridgeflow.transforms.augment.normal import draw_normal

COUNT = 1 << 21


def drawn(rows: int = 1, count: int = COUNT, seed: int = 0) -> np.ndarray:
    out = np.empty((rows, count), np.float32)
    draw_normal([np.random.default_rng([seed, row]) for row in range(rows)], out)
    return out


def test_the_distribution_is_normal():
    x = drawn()[0].astype(float)
    assert stats.kstest(x, stats.norm.cdf).pvalue > 0.01
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)):
        assert abs((x**power).mean() - expected) < 5 * (x ** (2 * power)).mean() ** 0.5 / COUNT**0.5


def test_tails_go_on():
    x = abs(drawn(8, seed=1).ravel())
    for size in (4.0, 4.2, 4.5):
        assert stats.binomtest(int((x > size).sum()), x.size, 2 * stats.norm.sf(size)).pvalue > 0.01
    assert x.max() > 4.6


def test_between_the_tails_it_is_the_middle_of_a_cell():
    x = np.unique(drawn()[0])
    body = x[abs(x) < 4.1].astype(float)
    cells = stats.norm.cdf(body) * 65536 - 0.5
    np.testing.assert_allclose(cells, cells.round(), atol=0.01)


def test_numbers_are_independent():
    x = drawn(2)
    spectrum = abs(np.fft.rfft(x[0])) ** 2
    assert stats.kstest(spectrum[1:-1] / COUNT, stats.expon.cdf).pvalue > 0.01
    assert abs(np.corrcoef(x)[0, 1]) < 5 / COUNT**0.5


def test_a_row_does_not_depend_on_the_others_and_any_length_works():
    whole = drawn(3, 1001)
    for row in range(3):
        alone = np.empty((1, 1001), np.float32)
        draw_normal([np.random.default_rng([0, row])], alone)
        np.testing.assert_array_equal(alone[0], whole[row])
    for count in (0, 1, 2, 3, 5):
        assert drawn(2, count).shape == (2, count)
