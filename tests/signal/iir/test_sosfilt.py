"""`sosfilt`, `sosfiltfilt`, `sosfilt_zi`: SciPy's numbers on every kind, and what each kind keeps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import ConfigError, DataError, MissingDependency, NoRoute
from bridgeflow.policy import words
from bridgeflow.signal import Butter, Comb, Ellip, Firwin, Notch, sosfilt, sosfilt_zi, sosfiltfilt
from bridgeflow.signal.iir.engine import EngineName, choose, why_unavailable

BANDPASS = Butter(order=4, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0)
FILTERS = [BANDPASS, Notch(w0=60.0, Q=30.0, fs=360.0), Ellip(order=5, rp=0.5, rs=60.0, cutoff=40.0, fs=360.0)]
ENGINES = [
    pytest.param(name, marks=[pytest.mark.skip(reason=f"{name}: {reason}")] if reason else [])
    for name in words(EngineName)
    for reason in [why_unavailable(name)]
]

engines = pytest.mark.parametrize("engine", ENGINES)
filters = pytest.mark.parametrize("design", FILTERS, ids=lambda design: design.name)


def data(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 100
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def kinds(x):
    """The same values as every kind that holds them."""
    yield "numpy", x
    yield "numpy, strided", np.repeat(x, 2, axis=-1)[..., ::2]
    yield "torch", torch.from_numpy(x.copy())
    frozen = x.copy()
    frozen.setflags(write=False)
    yield "numpy, read-only", frozen
    if x.dtype.kind == "f" and x.ndim > 1:
        yield "arrow tensor", pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(x))
    if x.dtype.kind == "f" and x.ndim == 2:
        yield "arrow list", pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    if x.dtype.kind == "f" and x.ndim == 1:
        yield "arrow", pa.array(x)
        yield "arrow, chunked", pa.chunked_array([x[: len(x) // 3], x[len(x) // 3 :]])


class TestAgainstScipy:
    @engines
    @filters
    @pytest.mark.parametrize("axis", [0, 1, 2, -1])
    def test_every_axis_with_and_without_a_state(self, engine, design, axis):
        x = data(5, 40, 60)
        theirs = scipy.signal.sosfilt(design.sos, x, axis)
        np.testing.assert_allclose(sosfilt(design, x, axis, engine=engine), theirs, rtol=0, atol=1e-10)
        zi = data(len(design.sos), *(2 if i == axis % 3 else n for i, n in enumerate(x.shape)), seed=1)
        ours, theirs = sosfilt(design, x, axis, zi, engine=engine), scipy.signal.sosfilt(design.sos, x, axis, zi)
        for mine, reference in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-9)

    @engines
    @filters
    @pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
    def test_both_ways(self, engine, design, padtype):
        x = data(3, 400)
        np.testing.assert_allclose(
            sosfiltfilt(design, x, padtype=padtype, engine=engine),
            scipy.signal.sosfiltfilt(design.sos, x, padtype=padtype),
            rtol=0,
            atol=1e-9,
        )
        np.testing.assert_allclose(
            sosfiltfilt(design, x.T, axis=0, padlen=7, engine=engine),
            scipy.signal.sosfiltfilt(design.sos, x.T, axis=0, padlen=7),
            rtol=0,
            atol=1e-9,
        )

    @filters
    def test_the_state_of_ones(self, design):
        np.testing.assert_array_equal(sosfilt_zi(design), scipy.signal.sosfilt_zi(design.sos))
        np.testing.assert_array_equal(sosfilt_zi(torch.from_numpy(design.sos)), scipy.signal.sosfilt_zi(design.sos))

    @given(samples=st.integers(0, 200), rows=st.integers(0, 3), cut=st.integers(0, 200))
    def test_the_reference_engine_is_scipy_bit_for_bit(self, samples, rows, cut):
        x = data(rows, samples)
        ours = sosfilt(BANDPASS, x, engine="scipy")
        if samples:
            np.testing.assert_array_equal(ours, scipy.signal.sosfilt(BANDPASS.sos, x))
        zero = np.zeros((len(BANDPASS.sos), rows, 2))
        first, between = sosfilt(BANDPASS, x[:, :cut], zi=zero, engine="scipy")
        second, _ = sosfilt(BANDPASS, x[:, cut:], zi=between, engine="scipy")
        np.testing.assert_array_equal(np.concatenate([first, second], -1), ours)

    def test_longdouble_is_handed_to_scipy(self):
        x = data(100, dtype="longdouble")
        y = sosfilt(BANDPASS, x)
        assert y.dtype == np.longdouble
        np.testing.assert_array_equal(y, scipy.signal.sosfilt(BANDPASS.sos, x))
        with pytest.raises(ConfigError, match="has no"):
            choose("blocks", np.dtype("longdouble"))


class TestKinds:
    @engines
    @pytest.mark.parametrize("shape", [(50,), (3, 50), (2, 3, 50)])
    @pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int16"])
    def test_kind_in_is_kind_out_with_equal_numbers(self, engine, shape, dtype):
        x = data(*shape, dtype=dtype)
        wide = x.astype("complex128" if x.dtype.kind == "c" else "float64")
        theirs = scipy.signal.sosfilt(BANDPASS.sos, wide)
        for name, value in kinds(x):
            before = to_numpy(value, copy="always")
            y = sosfilt(BANDPASS, value, engine=engine)
            expected = value.type if isinstance(value, pa.FixedShapeTensorArray) else None
            assert type(y) is type(value) or name in {"arrow, chunked", "arrow list"}, name
            assert expected is None or y.type == expected
            got = to_numpy(y)
            assert got.dtype == ("float64" if dtype == "int16" else dtype), name
            np.testing.assert_allclose(got, theirs, rtol=0, atol=2e-4 if dtype in {"float32", "complex64"} else 1e-9)
            np.testing.assert_array_equal(to_numpy(value), before)
            assert to_numpy(sosfiltfilt(BANDPASS, value, padlen=9, engine=engine)).dtype == got.dtype

    @engines
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_sixteen_bit_floats_are_computed_wide_and_returned_narrow(self, engine, dtype):
        x = torch.from_numpy(data(2, 300, dtype="float32")).to(dtype)
        y, zf = sosfilt(BANDPASS, x, zi=torch.zeros(4, 2, 2), engine=engine)
        theirs = scipy.signal.sosfilt(BANDPASS.sos, x.double().numpy())
        assert y.dtype == dtype
        assert zf.dtype == torch.float64
        np.testing.assert_allclose(y.double().numpy(), theirs, rtol=0.01, atol=0.5)

    def test_a_bfloat16_result_too_large_for_float16_stays(self):
        x = torch.full((3, 50), 1e30, dtype=torch.bfloat16)
        assert torch.isfinite(sosfilt(BANDPASS, x)).all()
        too_large = sosfilt(
            Butter(order=2, cutoff=1.0, btype="highpass", fs=100.0), np.full(4, 6e4, "float16") * [1, -1, 1, -1]
        )
        assert too_large.dtype == np.float64

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "bool", "uint64"])
    def test_integers_become_float64_as_in_scipy(self, dtype):
        info = (
            np.array([0, 1], dtype) if dtype == "bool" else np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        )
        x = np.tile(info, 50)
        np.testing.assert_array_equal(sosfilt(BANDPASS, x, engine="scipy"), scipy.signal.sosfilt(BANDPASS.sos, x))

    def test_lists_and_scalars_of_lists(self):
        assert sosfilt(BANDPASS, [1.0, 2.0, 3.0]).shape == (3,)
        assert type(sosfilt(BANDPASS.sos.tolist(), [[1, 2, 3]])) is np.ndarray

    @engines
    def test_big_endian_and_backward_arrays(self, engine):
        x = data(3, 100)
        expected = scipy.signal.sosfilt(BANDPASS.sos, x)
        np.testing.assert_allclose(sosfilt(BANDPASS, x.astype(">f8"), engine=engine), expected, rtol=0, atol=1e-10)
        backwards = scipy.signal.sosfilt(BANDPASS.sos, x[:, ::-1])
        np.testing.assert_allclose(sosfilt(BANDPASS, x[:, ::-1], engine=engine), backwards, rtol=0, atol=1e-10)

    @engines
    def test_conjugated_tensors(self, engine):
        x = torch.from_numpy(data(2, 60, dtype="complex128"))
        y = sosfilt(BANDPASS, x.conj(), engine=engine)
        expected = scipy.signal.sosfilt(BANDPASS.sos, x.numpy().conj())
        np.testing.assert_allclose(y.resolve_conj().numpy(), expected, rtol=0, atol=1e-10)

    @engines
    def test_a_complex_state_makes_real_data_complex(self, engine):
        x, zi = data(40), data(4, 2, dtype="complex128", seed=2)
        y, zf = sosfilt(BANDPASS, x, zi=zi, engine=engine)
        theirs, their_zf = scipy.signal.sosfilt(BANDPASS.sos, x, zi=zi)
        np.testing.assert_allclose(y, theirs, rtol=0, atol=1e-9)
        np.testing.assert_allclose(zf, their_zf, rtol=0, atol=1e-9)

    @engines
    @pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 50)])
    def test_nothing_in_nothing_out(self, engine, shape):
        zi = data(4, *shape[:-1], 2)
        y, zf = sosfilt(BANDPASS, np.zeros(shape, "float32"), zi=zi, engine=engine)
        assert (y.shape, y.dtype) == (shape, np.float32)
        if shape[-1] == 0:
            np.testing.assert_array_equal(zf, zi)

    @engines
    def test_into_a_given_array_and_in_place(self, engine):
        expected = sosfilt(BANDPASS, data(3, 200), engine=engine)
        for x in (data(3, 200), torch.from_numpy(data(3, 200))):
            if engine == "blocks" and not isinstance(x, torch.Tensor):
                continue
            room = torch.empty_like(x) if isinstance(x, torch.Tensor) else np.empty_like(x)
            assert sosfilt(BANDPASS, x, engine=engine, out=room) is room
            np.testing.assert_array_equal(np.asarray(room), expected)
            y, _ = sosfilt(BANDPASS, x, zi=np.zeros((4, 3, 2)), engine=engine, out=x)
            assert y is x
            np.testing.assert_array_equal(np.asarray(x), expected)
        along = np.empty((200, 3))
        if engine != "blocks":
            sosfilt(BANDPASS, data(3, 200).T, 0, engine=engine, out=along)
            np.testing.assert_array_equal(along, expected.T)


class TestPrecisionAndUnits:
    @engines
    def test_float32_data_have_a_float64_recursion(self, engine):
        slow = Butter(order=4, cutoff=0.05, btype="highpass", fs=1000.0)  # in float32 its poles cannot be told from 1
        x = (data(2, 20000) + 1000).astype("float32")
        theirs = scipy.signal.sosfilt(slow.sos, x.astype("float64"))
        wide = sosfilt(slow, x, engine=engine)
        np.testing.assert_allclose(wide, theirs, rtol=0, atol=np.abs(theirs).max() * 1e-6)

    @engines
    def test_precision_float32_is_what_it_says(self, engine):
        x = data(2, 500, dtype="float32")
        y, zf = sosfilt(BANDPASS, x, zi=np.zeros((4, 2, 2)), precision="float32", engine=engine)
        assert y.dtype == np.float32
        assert zf.dtype == ("float64" if engine == "blocks" else "float32")
        np.testing.assert_allclose(y, scipy.signal.sosfilt(BANDPASS.sos, x.astype(float)), rtol=0, atol=0.1)

    @engines
    @pytest.mark.parametrize("dtype", ["uint16", "float32", "complex64"])
    def test_counts_become_units_in_the_same_pass(self, engine, dtype):
        x = np.abs(data(2, 300)).astype(dtype)
        wide = x.astype("complex128" if dtype == "complex64" else "float64") * 0.005 - 5.12
        y = sosfilt(BANDPASS, x, scale=0.005, offset=-5.12, engine=engine)
        np.testing.assert_allclose(
            y, scipy.signal.sosfilt(BANDPASS.sos, wide), rtol=0, atol=1e-5 if dtype != "uint16" else 1e-12
        )
        both = sosfiltfilt(BANDPASS, x, scale=0.005, offset=-5.12, engine=engine)
        np.testing.assert_allclose(
            both, scipy.signal.sosfiltfilt(BANDPASS.sos, wide), rtol=0, atol=1e-5 if dtype != "uint16" else 1e-11
        )

    @engines
    def test_segments_of_a_long_row_side_by_side(self, engine):
        x = data(2, 200_000)
        whole = sosfilt(BANDPASS, x, engine=engine)
        side_by_side, zf = sosfilt(BANDPASS, x, zi=np.zeros((4, 2, 2)), engine=engine, parallel="time")
        np.testing.assert_allclose(side_by_side, whole, rtol=0, atol=1e-8)
        assert zf.shape == (4, 2, 2)
        with pytest.raises(ValueError, match="parallel must be one of 'time'"):
            sosfilt(BANDPASS, x, engine=engine, parallel="rows")


class TestPhysics:
    @pytest.mark.parametrize("run", [sosfilt, sosfiltfilt])
    def test_hum_dies_and_the_rest_lives(self, run):
        t = np.arange(20 * 360) / 360
        heart, hum = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 60 * t)
        notch = Notch(w0=60.0, Q=10.0, fs=360.0)
        kept = run(notch, heart + hum)[5 * 360 : -5 * 360]
        np.testing.assert_allclose(kept, (run(notch, heart))[5 * 360 : -5 * 360], atol=1e-4)
        assert np.sqrt(2 * np.mean(kept**2)) == pytest.approx(1.0, abs=0.01)

    def test_a_comb_takes_all_harmonics(self):
        t = np.arange(30 * 360) / 360
        hum = sum(np.sin(2 * np.pi * 60 * k * t + k) for k in (1, 2))
        assert np.abs(sosfilt(Comb(w0=60.0, Q=20.0, fs=360.0), hum)[-360:]).max() < 1e-6

    def test_zero_phase_leaves_a_tone_in_place(self):
        t = np.arange(3600) / 360
        tone = np.cos(2 * np.pi * 5 * t)
        y = sosfiltfilt(BANDPASS, tone)
        assert np.argmax(np.correlate(y[720:-720], tone[720 - 30 : -720 + 30], "valid")[::-1]) == 30


class TestTorch:
    """What the operator does is tested beside it; here, that the public functions hand over to it."""

    @filters
    @pytest.mark.parametrize("run", [sosfilt, sosfiltfilt])
    def test_gradients_flow_to_data_state_and_sections(self, design, run):
        x = torch.from_numpy(data(2, 60)).requires_grad_()
        sos = torch.from_numpy(design.sos).requires_grad_()
        y = run(sos, x, scale=0.5, offset=1.0)
        np.testing.assert_allclose(y.detach(), run(design, x.detach().numpy() * 0.5 + 1.0), rtol=0, atol=1e-8)
        y.square().sum().backward()
        assert x.grad.abs().max() > 0
        assert sos.grad.abs().max() > 0

    def test_a_learned_filter_takes_any_kind_of_data(self):
        sos = torch.from_numpy(BANDPASS.sos).requires_grad_()
        assert sosfilt(sos, torch.zeros(2, 50)).requires_grad
        zi = torch.zeros(4, 2, 2, dtype=torch.float64, requires_grad=True)
        y, zf = sosfilt(BANDPASS, torch.ones(2, 50), zi=zi)
        assert y.dtype is torch.float32
        (y.sum() + zf.sum()).backward()
        assert zi.grad.abs().max() > 0

    @pytest.mark.parametrize("nonfinite", ["propagate", "raise", "reset"])
    def test_meta_tensors_tell_shape_and_dtype(self, nonfinite):
        for run in (sosfilt, sosfiltfilt):
            for dtype, expected in ((torch.float32, torch.float32), (torch.int16, torch.float64)):
                y = run(BANDPASS, torch.empty(3, 100, dtype=dtype, device="meta"), nonfinite=nonfinite)
                assert (y.shape, y.dtype, y.device.type) == ((3, 100), expected, "meta")

    @pytest.mark.parametrize("sos", [BANDPASS, BANDPASS.sos], ids=["design", "ndarray"])
    def test_compiled_in_one_graph(self, sos):
        x = torch.from_numpy(data(2, 80))
        once = torch.compile(lambda x: sosfilt(sos, x, scale=2.0), fullgraph=True, backend="aot_eager")
        np.testing.assert_allclose(once(x), sosfilt(BANDPASS, x, scale=2.0), rtol=0, atol=1e-9)
        both = torch.compile(lambda x: sosfiltfilt(sos, x, padlen=20), fullgraph=True, backend="aot_eager")
        np.testing.assert_allclose(both(x), sosfiltfilt(BANDPASS, x, padlen=20), rtol=0, atol=1e-9)

    def test_a_policy_that_looks_at_values_cannot_be_traced(self):
        with pytest.raises(Exception, match="nonfinite='propagate'"):
            torch.compile(lambda x: sosfilt(BANDPASS, x, nonfinite="raise"), fullgraph=True, backend="eager")(
                torch.zeros(9)
            )
        with pytest.raises(ConfigError, match="nonfinite='propagate'"):
            torch.func.vmap(lambda row: sosfilt(BANDPASS, row, nonfinite="raise"))(torch.zeros(2, 9))


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda: sosfilt(BANDPASS, 3.0), DataError, "at least one axis"),
            (lambda: sosfilt(BANDPASS, ["a", "b"]), DataError, "elements of type <U1"),
            (lambda: sosfilt(BANDPASS, np.array([1, None])), DataError, "elements of type object"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), 1), DataError, "axis 1 does not exist, x has 1 axes"),
            (lambda: sosfilt(np.zeros((2, 5)), np.zeros(3)), DataError, r"shape \[sections, 6\], got \(2, 5\)"),
            (lambda: sosfilt(np.zeros((2, 6)), np.zeros(3)), DataError, "should be all ones"),
            (lambda: sosfilt(np.ones((2, 6)) * 1j, np.zeros(3)), DataError, "real numbers"),
            (lambda: sosfilt(BANDPASS, np.zeros((3, 9)), zi=np.zeros((4, 2))), DataError, r"\(4, 3, 2\), got \(4, 2\)"),
            (lambda: sosfilt(BANDPASS, pa.array([1.0, None])), NoRoute, "null"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), engine="natif"), ValueError, "engine must be one of 'native'"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), precision="half"), ValueError, "precision must be one of"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), nonfinite="drop"), ValueError, "nonfinite must be one of"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), scale=np.nan), ConfigError, "scale must be a finite number"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), scale="2"), ConfigError, "scale must be a finite number"),
            (lambda: sosfilt(Firwin(numtaps=3, cutoff=1.0, fs=9.0), np.zeros(3)), ConfigError, "use fir_filter"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), out=np.zeros(4)), DataError, r"shape of x, \(3,\), got \(4,\)"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), out=np.zeros(3, "f4")), DataError, "writable and float64"),
            (lambda: sosfilt(BANDPASS, np.zeros(3), out=[0, 0, 0]), (DataError, NoRoute), "list"),
            (lambda: sosfiltfilt(BANDPASS, np.zeros(5)), DataError, "greater than padlen, which is 27, got 5"),
            (lambda: sosfiltfilt(BANDPASS, np.zeros(50), padtype="round"), ValueError, "padtype must be one of"),
            (lambda: sosfiltfilt(BANDPASS, np.zeros(50), padlen=-1), DataError, "must not be negative"),
        ],
    )
    def test_one_clear_line(self, call, error, message):
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)

    def test_an_engine_that_cannot_run_is_said_so(self, monkeypatch):
        monkeypatch.setattr(
            "bridgeflow.signal.iir.engine.why_unavailable", lambda name: "no compiler" if name == "native" else None
        )
        with pytest.raises(
            MissingDependency, match=r"engine 'native' cannot run here: no compiler; available: 'blocks', 'scipy'"
        ):
            sosfilt(BANDPASS, np.zeros(3), engine="native")
        assert choose(None, np.dtype("float32")) == "scipy"

    def test_unstable_sections_in_an_array_are_filtered_as_scipy_does(self):
        sos = np.array([[1.0, 0, 0, 1, -1.1, 0]])
        x = data(20)
        np.testing.assert_array_equal(sosfilt(sos, x, engine="scipy"), scipy.signal.sosfilt(sos, x))
