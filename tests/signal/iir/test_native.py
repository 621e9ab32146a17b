"""The native engine: SciPy's bits whatever the layout, batch, chunks, threads and width of the vectors."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Pass
from tests.signal.iir.filters import EASY, HARD

if native._missing is not None:
    pytest.skip(f"built without the native engine: {native._missing}", allow_module_level=True)

from bridgeflow.signal.iir import _native

ISAS = native.instruction_sets()
SINGLE = Pass("float32")
FULL = Pass()

isas = pytest.mark.parametrize("isa", ISAS)
scipy_rounds_each_operation = pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="SciPy may be compiled with fused multiply-add here"
)


ZEROS = ["anywhere", "on the circle", "gain first", "gain last"]


def sections(count, seed=0, zeros="anywhere"):
    """Random stable sections of different temper; `zeros` of each kind that the kernel has code for."""
    rng = np.random.default_rng(seed)
    poles = rng.uniform(0.3, 0.97, count) * np.exp(1j * rng.uniform(0, np.pi, count))
    sos = np.c_[rng.standard_normal((count, 3)), np.ones(count), -2 * poles.real, abs(poles) ** 2]
    if zeros == "gain first":
        sos[1:, 0] = 1
    if zeros == "gain last":
        sos[:-1, 0] = 1
    if zeros != "anywhere":
        sos[:, 2] = sos[:, 0]
    return sos


def data(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind in "iub":
        return rng.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.kind == "c" else x).astype(dtype)


def reference(sos, x, zi=None):
    """SciPy in the precision of its arguments, from a zero state where none is given."""
    work = np.result_type(sos, x)
    if zi is None:
        zi = np.zeros((len(sos), *x.shape[:-1], 2), work)
    if x.shape[-1] == 0:
        return x.astype(work), zi
    return scipy.signal.sosfilt(sos, x.astype(work), zi=zi)


def same_bits(a, b):
    np.testing.assert_array_equal(a, b, strict=True)


filters = st.builds(sections, st.integers(1, 10), st.integers(0, 99), st.sampled_from(ZEROS))


@st.composite
def arrays(draw, dtypes=("float64",), longest=300):
    """Any order of axes in memory, forward, backward and with gaps."""
    axes = draw(st.lists(st.sampled_from([1, 2, 3, 4, 7, 8, 9, 17, 33]), max_size=2))
    shape = (*axes, draw(st.sampled_from([0, 1, 2, 3, 5, 16, 127, 128, 129]) | st.integers(1, longest)))
    steps = [draw(st.sampled_from([1, 1, 1, -1, 2, -3])) for _ in shape]
    order = draw(st.permutations(range(len(shape))))
    stored = data([shape[i] * abs(steps[i]) for i in order], draw(st.sampled_from(dtypes)), draw(st.integers(0, 9)))
    return stored.transpose(np.argsort(order))[tuple(slice(None, None, step) for step in steps)]


@scipy_rounds_each_operation
class TestBitsOfScipy:
    @given(filters, arrays(("float64", "complex128", "int16", "int32", "uint8", "uint16")), st.booleans())
    def test_float64(self, sos, x, from_state):
        work = np.result_type(x, np.float64)
        zi = data((len(sos), *x.shape[:-1], 2), work, 5) if from_state else None
        y, zf = reference(sos, x, zi)
        for isa in ISAS:
            mine, state = native.sosfilt(sos, x, zi, FULL, instruction_set=isa)
            same_bits(mine, y)
            same_bits(state, zf)

    @given(filters, arrays(("float32", "complex64")))
    def test_float32_data_with_a_recursion_in_float64(self, sos, x):
        y, zf = reference(sos, x)
        for isa in ISAS:
            mine, state = native.sosfilt(sos, x, None, FULL, instruction_set=isa)
            same_bits(mine, y.astype(x.dtype))
            same_bits(state, zf)

    @given(filters, arrays(("float32", "complex64")))
    def test_a_recursion_in_float32(self, sos, x):
        y, zf = reference(sos.astype(np.float32), x)
        for isa in ISAS:
            mine, state = native.sosfilt(sos, x, None, SINGLE, instruction_set=isa)
            same_bits(mine, y)
            same_bits(state, zf)

    @given(
        filters,
        arrays(("float64", "complex128", "int16")).filter(lambda x: x.shape[-1] > 0),
        st.sampled_from([None, "odd", "even", "constant"]),
        st.data(),
    )
    def test_both_ways(self, sos, x, padtype, draw):
        padlen = draw.draw(st.integers(0, x.shape[-1] - 1))
        work = np.result_type(x, np.float64)
        y = scipy.signal.sosfiltfilt(sos, x.astype(work), padtype=padtype, padlen=padlen)
        for isa in ISAS:
            same_bits(native.sosfiltfilt(sos, x, padtype, padlen, FULL, instruction_set=isa), y)

    @pytest.mark.parametrize("zeros", ZEROS)
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
    def test_every_kind_of_zeros(self, count, zeros):
        sos, x = sections(count, 1, zeros), data((17, 200))
        y, _ = reference(sos, x)
        narrow, _ = reference(sos.astype(np.float32), x.astype(np.float32))
        for isa in ISAS:
            same_bits(native.sosfilt(sos, x, None, FULL, instruction_set=isa)[0], y)
            same_bits(native.sosfilt(sos, x.astype(np.float32), None, SINGLE, instruction_set=isa)[0], narrow)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize("step", [1, -1, 2])
    def test_long_rows(self, rows, dtype, step):
        sos, x = sections(3, 2), data((rows, 2600 * abs(step)), dtype)[:, ::step]
        y, zf = reference(sos, x)
        for isa in ISAS:
            mine, state = native.sosfilt(sos, x, None, FULL, instruction_set=isa)
            same_bits(mine, y.astype(mine.dtype))
            same_bits(state, zf)


class TestWholeLines:
    """Rows along time go by whole cache lines, 8 or 16 samples, which end anywhere in a row."""

    @isas
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
    def test_any_length_place_and_direction(self, isa, dtype, count):
        sos = sections(count, zeros=ZEROS[count % len(ZEROS)])
        zi = data((count, 37, 2), seed=2)
        for samples in (7, 8, 15, 16, 17, 49, 160):
            for rows in (3, 8, 37):
                for offset in (0, 1):
                    memory = np.zeros((rows, samples + 3 + offset), dtype)
                    x = memory[:, offset : offset + samples]
                    x[:] = data((rows, samples), dtype)
                    for step in (1, -1):
                        y, zf = scipy.signal.sosfilt(sos, x[:, ::step].astype(np.float64), zi=zi[:, :rows])
                        out = np.zeros((rows, samples + 5), dtype)[:, 2:-3][:, ::step]
                        mine, state = native.sosfilt(sos, x[:, ::step], zi[:, :rows], FULL, out, instruction_set=isa)
                        np.testing.assert_array_equal(mine, y.astype(dtype))
                        same_bits(state, zf)
                        in_place = x.copy()[:, ::step]
                        native.sosfilt(sos, in_place, zi[:, :rows], FULL, in_place, instruction_set=isa)
                        np.testing.assert_array_equal(in_place, mine)

    @isas
    @pytest.mark.parametrize("settings", [FULL, SINGLE], ids=["float64", "float32"])
    def test_banks_of_filters_with_different_zeros(self, isa, settings):
        bank = np.stack([sections(2, seed, zeros) for seed, zeros in enumerate([*ZEROS, "gain first"])])
        x = data((33, 300), "float32")
        y = np.empty((33, len(bank), 300), np.float32)
        zf = np.empty((2, 33, len(bank), 2), settings.precision)
        _native.run(bank, x, y, None, zf, settings.precision == "float32", 1.0, 0.0, 1, isa, 0, 0, None)
        for number, sos in enumerate(bank):
            alone, state = native.sosfilt(sos, x, None, settings, instruction_set="baseline")
            same_bits(y[:, number], alone)
            same_bits(zf[:, :, number], state)


class TestBitsOfTheRowAlone:
    @isas
    @pytest.mark.parametrize("settings", [FULL, SINGLE], ids=["float64", "float32"])
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 9])
    def test_every_size_of_batch_and_place_in_it(self, isa, settings, count):
        sos, x = sections(count), data((70, 300), "float32")
        batch, states = native.sosfilt(sos, x, None, settings, instruction_set=ISAS[0])
        for rows in (1, 2, 3, 4, 5, 8, 13, 16, 17, 31, 64):
            for first in (0, 70 - rows):
                part = slice(first, first + rows)
                y, zf = native.sosfilt(sos, x[part], None, settings, instruction_set=isa)
                same_bits(y, batch[part])
                same_bits(zf, states[:, part])

    @given(
        filters,
        arrays(("float64", "float32", "complex64", "int16")),
        st.sampled_from([FULL, SINGLE]),
        st.lists(st.integers(0, 300), max_size=5),
        st.sampled_from(ISAS),
    )
    def test_any_chunks(self, sos, x, how, cuts, isa):
        whole, end = native.sosfilt(sos, x, None, how)
        state, pieces = None, []
        for piece in np.split(x, sorted(min(cut, x.shape[-1]) for cut in cuts), axis=-1):
            y, state = native.sosfilt(sos, piece, state, how, instruction_set=isa)
            pieces.append(y)
        same_bits(np.concatenate(pieces, axis=-1), whole)
        same_bits(state, end)

    @isas
    @pytest.mark.parametrize(("rows", "samples"), [(1, 1 << 20), (3, 1 << 19), (70, 1 << 14), (512, 1 << 12)])
    def test_any_number_of_threads(self, monkeypatch, isa, rows, samples):
        sos, x = sections(2), data((rows, samples), "float32")
        monkeypatch.setattr(native, "compute_threads", lambda: 1)
        alone, state = native.sosfilt(sos, x, None, FULL)
        both = native.sosfiltfilt(sos, x, "odd", 9, FULL)
        for count in (2, 3, 16):
            monkeypatch.setattr(native, "compute_threads", lambda count=count: count)
            y, zf = native.sosfilt(sos, x, None, FULL, instruction_set=isa)
            same_bits(y, alone)
            same_bits(zf, state)
            same_bits(native.sosfiltfilt(sos, x, "odd", 9, FULL, instruction_set=isa), both)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
    @pytest.mark.parametrize("rows", [3, 64, 300])
    def test_time_as_an_outer_axis(self, dtype, rows):
        sos, x = sections(3), data((rows, 3000), dtype)
        y, zf = native.sosfilt(sos, x, None, FULL)
        turned = np.ascontiguousarray(x.T).T
        for out in (None, np.empty_like(turned), np.empty(x.shape, dtype)):
            mine, state = native.sosfilt(sos, turned, None, FULL, out)
            same_bits(mine, y)
            same_bits(state, zf)

    @isas
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
    @pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 12, 16, 24, 40])
    def test_channels_side_by_side(self, isa, dtype, channels):
        sos, x = sections(2), data((3, channels, 200), dtype)
        turned = np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2)
        for how in (FULL, SINGLE):
            y, zf = native.sosfilt(sos, x, None, how)
            mine, state = native.sosfilt(
                sos, turned, None, how, np.empty(y.swapaxes(1, 2).shape, y.dtype).swapaxes(1, 2), instruction_set=isa
            )
            same_bits(mine, y)
            same_bits(state, zf)


class TestOut:
    @given(filters, arrays(("float64", "float32", "complex64")), st.sampled_from([FULL, SINGLE]))
    def test_in_place(self, sos, x, how):
        y, zf = native.sosfilt(sos, x, None, how)
        mine, state = native.sosfilt(sos, x, None, how, x)
        assert mine is x
        same_bits(x, y)
        same_bits(state, zf)

    def test_the_counts_memory_can_take_the_result(self):
        x = data((20, 500), "int32")
        out = x.view(np.float32)
        y, _ = native.sosfilt(sections(2), x.copy(), None, SINGLE)
        native._native.run(sections(2), x, out, None, None, True, 1.0, 0.0, 1, "", 0, 0, None)
        same_bits(out, y.astype(np.float32))

    @pytest.mark.parametrize("place", [np.s_[:, ::-1], np.s_[::-1], np.s_[:, 1:-1:2]])
    def test_any_strides(self, place):
        x = data((9, 400))
        room = np.zeros_like(x) if place != np.s_[:, 1:-1:2] else np.zeros((9, 802))
        y, _ = native.sosfilt(sections(2), x, None, FULL)
        mine, _ = native.sosfilt(sections(2), x, None, FULL, room[place])
        same_bits(mine, y)
        same_bits(room[place], y)

    @pytest.mark.parametrize("isa", ISAS)
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "complex64"])
    @pytest.mark.parametrize("how", [FULL, SINGLE], ids=["float64", "float32"])
    def test_backwards_through_memory(self, isa, dtype, how):
        """Tiles whole and broken off, rows that fill vectors and that do not: the bits of a copy in order."""
        for shape in ((16, 1), (32, 131), (16, 128), (9, 300), (3, 127), (40, 30), (1, 200), (2, 9)):
            x = data(shape, dtype)
            turned = x[:, ::-1]
            y, zf = native.sosfilt(sections(3), turned.copy(), None, how, instruction_set=isa)
            room = np.zeros_like(y)
            seen, state = native.sosfilt(sections(3), turned, None, how, room[:, ::-1], instruction_set=isa)
            same_bits(seen, y)
            same_bits(np.ascontiguousarray(room[:, ::-1]), y)
            same_bits(state, zf)
            mixed, _ = native.sosfilt(sections(3), turned, None, how, instruction_set=isa)  # backwards in, forwards out
            same_bits(mixed, y)

    def test_backwards_beyond_the_cache(self):
        """Where lines are asked for ahead of time, too."""
        x = data((300, 4000))
        y, _ = native.sosfilt(sections(2), x[:, ::-1].copy(), None, FULL)
        same_bits(native.sosfilt(sections(2), x[:, ::-1], None, FULL, np.zeros_like(x)[:, ::-1])[0], y)

    def test_an_overlap_does_no_harm(self):
        buffer = data((9, 410))
        x, out = buffer[:, :400], buffer[:, 3:403]
        y, _ = native.sosfilt(sections(2), x, None, FULL)
        native.sosfilt(sections(2), x, None, FULL, out)
        same_bits(out, y)

    def test_input_and_state_are_only_read(self):
        x, zi = data((9, 400)), data((2, 9, 2))
        x.setflags(write=False)
        zi.setflags(write=False)
        _, zf = native.sosfilt(sections(2), x, zi, FULL)
        assert not np.shares_memory(zf, zi)


class TestNumbers:
    @pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "uint16", "float32", "float64", "complex64"])
    @pytest.mark.parametrize("precision", ["float64", "float32"])
    @pytest.mark.parametrize("rows", [1, 2, 5, 40])
    def test_units(self, dtype, precision, rows):
        x, how = data((rows, 333), dtype), Pass(precision, 0.25, -3.5)
        work = how.work_dtype(x.dtype)
        units = how.units(x, work)
        assert units.dtype == work
        y, zf = native.sosfilt(sections(3), units, None, Pass(precision))
        mine, state = native.sosfilt(sections(3), x, None, how)
        same_bits(mine, y.astype(mine.dtype))
        same_bits(state, zf)
        both = native.sosfiltfilt(sections(3), units, "odd", 20, Pass(precision))
        same_bits(native.sosfiltfilt(sections(3), x, "odd", 20, how), both.astype(mine.dtype))

    @pytest.mark.parametrize(
        ("dtype", "result"), [("float16", "float16"), ("int64", "float64"), ("bool", "float64"), (">f8", ">f8")]
    )
    def test_other_types_are_converted(self, dtype, result):
        x = data((6, 200), dtype)
        y, _ = native.sosfilt(sections(2), x.astype(np.float64), None, FULL)
        mine, _ = native.sosfilt(sections(2), x, None, FULL)
        same_bits(mine, y.astype(result))
        out = np.empty(x.shape, result)
        assert native.sosfilt(sections(2), x, None, FULL, out)[0] is out
        same_bits(out, y.astype(result))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("rows", [1, 2, 40])
    def test_the_final_state_tells_what_came_by(self, bad, rows):
        x = data((rows, 700))
        x[rows // 2, 300] = bad
        y, zf = native.sosfilt(np.r_[sections(2), [[1, 2, 1, 1, 0, 0]]], x, None, FULL)
        met = ~np.isfinite(zf).all(axis=(0, -1))
        assert np.flatnonzero(met).tolist() == [rows // 2]
        assert np.isfinite(y[~met]).all()
        assert np.isfinite(y[met][:, :300]).all()
        assert not np.isfinite(y[met][:, 300:]).any()

    @isas
    @pytest.mark.parametrize("how", [FULL, SINGLE], ids=["float64", "float32"])
    @pytest.mark.parametrize("rows", [1, 20])
    def test_silence_has_no_subnormals(self, isa, how, rows):
        x = np.zeros((rows, 60000), how.precision)
        x[:, :50] = data((rows, 50))
        sos = scipy.signal.butter(4, 0.05, output="sos")
        y, zf = native.sosfilt(sos, x, None, how, instruction_set=isa)
        tiny = np.finfo(how.precision).tiny
        assert not ((y != 0) & (np.abs(y) < tiny)).any()
        np.testing.assert_allclose(y, reference(sos.astype(how.precision), x)[0], rtol=0, atol=1e6 * tiny)
        assert (np.abs(zf) < 1e6 * tiny).all()
        assert np.float64(tiny) / 4 != 0, "the processor's mode is the caller's again"

    @pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "complex64"])
    @pytest.mark.parametrize("shape", [(0,), (1,), (0, 5), (5, 0), (5, 1), (3, 0, 4), (2, 0)])
    def test_nothing_and_one_sample(self, dtype, shape):
        x, zi = data(shape, dtype), data((2, *shape[:-1], 2), FULL.work_dtype(np.dtype(dtype)), 3)
        y, zf = native.sosfilt(sections(2), x, zi, FULL)
        expected, state = reference(sections(2), x, zi)
        assert y.shape == shape
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        np.testing.assert_allclose(zf, state, rtol=1e-12)


class TestRecursionInFloat32:
    """As exact as is stated, for filters that are easy on rounding and filters that are not."""

    @pytest.mark.parametrize("name", [*EASY, *HARD])
    def test_within_the_stated_bound(self, name):
        sos = {**EASY, **HARD}[name]
        time = np.arange(20_000)
        noise = data(20_000)
        signals = [noise, np.ones(20_000), noise + 1000, np.sin(0.02 * time), (time == 0) * 1.0]
        x = np.array(signals, np.float32)
        y, _ = native.sosfilt(sos, x, None, SINGLE)
        exact = scipy.signal.sosfilt(sos, x.astype(np.float64))
        full_scale = np.maximum(np.abs(x), np.abs(exact)).max(axis=-1)
        assert np.all(np.abs(y - exact).max(axis=-1) <= native.tolerance(sos, "float32") * full_scale)

    def test_the_bound_says_where_nothing_is_left(self):
        assert native.tolerance(EASY["butter 4"], "float32") < 2e-5
        assert native.tolerance(HARD["high-pass 0.05 Hz at 1 kHz"], "float32") > 1


class TestLargeIndices:
    @pytest.mark.parametrize("axis", ["rows", "time"])
    def test_strides_beyond_32_bits(self, axis):
        """Few elements in a file of 40 GiB that has no more bytes on the disk than are written."""
        with tempfile.TemporaryFile() as file:
            file.truncate(40 << 30)
            memory = np.memmap(file, np.float64, "r+", shape=(5 << 30,))
            far = 3 * (1 << 28)  # 6 GiB
            steps = (8 * far, 8) if axis == "rows" else (8, 8 * far)
            shape = (5, 100) if axis == "rows" else (100, 5)
            view = np.lib.stride_tricks.as_strided(memory, shape, steps)
            x = data(shape)
            y, zf = native.sosfilt(sections(2), x, None, FULL)
            view[...] = x
            _, state = native.sosfilt(sections(2), view, None, FULL, view)
            same_bits(np.array(view), y)
            same_bits(state, zf)
            del view, memory

    @pytest.mark.slow
    def test_more_than_2_to_the_31_samples(self):
        x = np.broadcast_to(np.float32(1), (1, (1 << 31) + 100))
        sos = scipy.signal.butter(2, 0.1, output="sos")
        zf = np.empty((1, 1, 2))
        _native.run(sos, x, None, None, zf, False, 1.0, 0.0, 1, "", 0, 0, None)
        np.testing.assert_allclose(zf[:, 0], scipy.signal.sosfilt_zi(sos), rtol=1e-9)


class TestThreads:
    def test_sixteen_at_once(self):
        sos, x = sections(3), data((16, 40, 5000), "float32")
        alone = [native.sosfilt(sos, each, None, FULL)[0] for each in x]
        with ThreadPoolExecutor(16) as pool:
            for _ in range(3):
                for y, expected in zip(
                    pool.map(lambda each: native.sosfilt(sos, each, None, FULL)[0], x), alone, strict=True
                ):
                    same_bits(y, expected)

    def test_a_forked_child_filters_on(self):
        """While threads of the parent are at work."""
        script = textwrap.dedent("""
            import os, threading
            os.environ["OMP_NUM_THREADS"] = "4"
            import numpy as np
            from bridgeflow.signal.iir import native
            from bridgeflow.signal.iir.engine import Pass

            sos = np.array([[0.2, 0.4, 0.2, 1, -0.5, 0.3]])
            x = np.random.default_rng(0).standard_normal((64, 1 << 15))
            y = native.sosfilt(sos, x, None, Pass())[0]
            stop = threading.Event()

            def work():
                while not stop.is_set():
                    native.sosfilt(sos, x, None, Pass())

            busy = [threading.Thread(target=work) for _ in range(2)]
            for thread in busy:
                thread.start()
            children = []
            for _ in range(4):
                child = os.fork()
                if child == 0:
                    os._exit(0 if np.array_equal(native.sosfilt(sos, x, None, Pass())[0], y) else 1)
                children.append(child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            stop.set()
            for thread in busy:
                thread.join()
            assert codes == [0] * 4, codes
        """)
        # without AddressSanitizer, whose own allocator cannot be forked while threads allocate
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
        subprocess.run(command, check=True, timeout=120, env=environment)

    def test_as_many_as_torch_uses(self):
        import torch

        assert native.compute_threads() == torch.get_num_threads()


class TestParallelInTime:
    FILTERS = (
        scipy.signal.butter(4, 0.2, output="sos"),
        scipy.signal.ellip(8, 0.1, 60, [0.1, 0.3], "bandpass", output="sos"),
        scipy.signal.butter(2, 0.01, "highpass", output="sos"),
        scipy.signal.tf2sos(*scipy.signal.iirnotch(0.2, 100)),
    )

    @pytest.mark.parametrize("sos", FILTERS, ids=["low-pass", "elliptic band-pass", "slow high-pass", "notch"])
    @pytest.mark.parametrize("dtype", ["float64", "complex128", "int16"])
    @pytest.mark.parametrize("shape", [(100_003,), (3, 70_000), (2, 2, 50_001)])
    def test_within_the_stated_tolerance(self, sos, dtype, shape):
        x = data(shape, dtype)
        zi = data((len(sos), *shape[:-1], 2), FULL.work_dtype(x.dtype), 4)
        y, zf = native.sosfilt(sos, x, zi, FULL)
        mine, state = native.sosfilt(sos, x, zi, FULL, parallel="time")
        full_scale = max(np.abs(x).max(), np.abs(y).max())
        np.testing.assert_allclose(mine, y, rtol=0, atol=native.tolerance(sos) * full_scale)
        np.testing.assert_allclose(state, zf, rtol=0, atol=native.tolerance(sos) * max(full_scale, np.abs(zf).max()))

    @pytest.mark.parametrize("corner", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
    @pytest.mark.parametrize("kind", ["highpass", "lowpass"])
    def test_poles_near_the_circle(self, corner, kind):
        sos = scipy.signal.butter(4, corner, kind, output="sos")
        x = data((1, 400_000)) + 5
        for how in (FULL, SINGLE):
            y, _ = native.sosfilt(sos, x, None, how)
            mine, _ = native.sosfilt(sos, x, None, how, parallel="time")
            atol = native.tolerance(sos, how.precision) * max(np.abs(x).max(), np.abs(y).max())
            np.testing.assert_allclose(mine, y, rtol=0, atol=atol)

    def test_in_place_and_never_by_itself(self):
        x = data((1, 100_000))
        y, _ = native.sosfilt(self.FILTERS[1], x, None, FULL)
        mine, _ = native.sosfilt(self.FILTERS[1], x, None, FULL, parallel="time")
        same_bits(native.sosfilt(self.FILTERS[1], x, None, FULL)[0], y)
        native.sosfilt(self.FILTERS[1], x, None, FULL, x, parallel="time")
        same_bits(x, mine)

    def test_short_or_many_rows_stay_as_they_are(self):
        for shape in [(1, 500), (64, 5000), (0, 9), (2, 0)]:
            x = data(shape)
            same_bits(
                native.sosfilt(self.FILTERS[0], x, None, FULL, parallel="time")[0],
                native.sosfilt(self.FILTERS[0], x, None, FULL)[0],
            )

    @pytest.mark.parametrize("at", [5, 40_000, 99_999])
    def test_nothing_behind_a_nan_is_finite(self, at):
        x = data((2, 100_000))
        x[1, at] = np.nan
        y, zf = native.sosfilt(self.FILTERS[0], x, None, FULL, parallel="time")
        assert np.isfinite(y[0]).all()
        assert np.isfinite(zf[:, 0]).all()
        assert np.isfinite(y[1, :at]).all()
        assert np.isnan(y[1, at:]).all()
        assert np.isnan(zf[:, 1]).any()

    def test_a_word_that_is_none(self):
        with pytest.raises(ValueError, match="parallel must be one of 'time'"):
            native.sosfilt(self.FILTERS[0], data((1, 9)), None, FULL, parallel="rows")


class TestDoor:
    """native.cpp trusts no caller: a wrong argument is an error, not a write beyond an array."""

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"sos": np.zeros((2, 5))}, "sos"),
            ({"sos": np.zeros((2, 6), "float32")}, "sos"),
            ({"sos": np.zeros((2, 12))[:, ::2]}, "sos"),
            ({"out": np.zeros((3, 99))}, "out"),
            ({"out": np.zeros((4, 100))}, "out"),
            ({"out": np.zeros((3, 100), "int32")}, "out"),
            ({"out": np.zeros((3, 100), "complex128")}, "out"),
            ({"zi": np.zeros((2, 3, 3))}, "zi"),
            ({"zi": np.zeros((1, 3, 2))}, "zi"),
            ({"zi": np.zeros((2, 3, 2), "float32")}, "zi"),
            ({"zf": np.zeros((2, 2, 2))}, "zf"),
            ({"x": np.zeros(())}, "x"),
            ({"steady": np.zeros((2, 2)), "padlen": 100}, "padding"),
            ({"steady": np.zeros((1, 2)), "padlen": 1}, "padding"),
            ({"steady": np.zeros((2, 2)), "padding": 9}, "padding"),
            ({"isa": "mmx"}, "mmx"),
        ],
    )
    def test_wrong_arguments(self, change, error):
        arguments = {
            "sos": sections(2),
            "x": np.zeros((3, 100)),
            "out": np.zeros((3, 100)),
            "zi": None,
            "zf": np.zeros((2, 3, 2)),
            "single_precision": False,
            "scale": 1.0,
            "offset": 0.0,
            "threads": 1,
            "isa": "",
            "padding": 1,
            "padlen": 0,
            "steady": None,
        }
        with pytest.raises(ValueError, match=error):
            _native.run(**(arguments | change))

    def test_unreadable_elements_and_read_only_results(self):
        x = np.zeros((3, 100), "float16")
        with pytest.raises(TypeError, match="no elements of type 'e'"):
            _native.run(sections(2), x, None, None, None, False, 1.0, 0.0, 1, "", 0, 0, None)
        out = np.zeros((3, 100))
        out.setflags(write=False)
        with pytest.raises(ValueError, match="read-only"):
            _native.run(sections(2), np.zeros((3, 100)), out, None, None, False, 1.0, 0.0, 1, "", 0, 0, None)


def test_one_clear_notice_where_it_was_not_built(monkeypatch):
    monkeypatch.setattr(native, "_missing", ImportError("undefined symbol: x"))
    with pytest.warns(
        RuntimeWarning, match=r"two to nine times slower.*cannot be loaded .undefined symbol: x.; install"
    ):
        assert "cannot be loaded" in native.unavailable()


def test_the_wide_code_runs_everywhere():
    assert {"baseline", "wide"} <= set(ISAS)
