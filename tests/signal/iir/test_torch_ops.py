"""The torch operator: derivatives of any order, compile, export, vmap, autocast, and tensors that hold no data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from bridgeflow.errors import DataError
from bridgeflow.signal._input import needs_dispatch
from bridgeflow.signal.iir import torch_ops
from bridgeflow.signal.iir.engine import why_unavailable
from bridgeflow.signal.iir.torch_ops import sosfilt_tensor, sosfilt_zi_tensor, sosfiltfilt_tensor
from tests.signal.iir.filters import EASY, HARD

SOS = torch.from_numpy(scipy.signal.butter(2, [0.2, 0.4], btype="band", output="sos"))
ENGINES = [
    pytest.param(name, marks=[pytest.mark.skip(reason=reason)] if reason else [])
    for name in ("native", "blocks", "scipy")
    for reason in [why_unavailable(name)]
]

pytestmark = pytest.mark.filterwarnings(
    r"ignore:.torch\.jit\.script\w*. is deprecated:DeprecationWarning"
)  # torch's own

engines = pytest.mark.parametrize("engine", ENGINES)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])


def arguments(rows=(2,), time=6, dtype=torch.float64, seed=0):
    """Sections, data and state, all wanting gradients."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*rows, time, dtype=dtype, generator=generator)
    zi = torch.randn(len(SOS), *rows, 2, dtype=dtype, generator=generator)
    return SOS.clone().requires_grad_(), x.requires_grad_(), zi.requires_grad_()


def unpinned(run):
    """`run` with `a0` left alone: it is 1 by agreement, and no derivative is due for it."""

    def wrapped(sos, *others):
        pinned = torch.cat([sos[:, :3], torch.ones_like(sos[:, :1]), sos[:, 4:]], dim=1)
        return run(pinned, *others)

    return wrapped


class TestForward:
    @engines
    @directions
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_every_engine_axis_and_direction_is_scipys(self, engine, reverse, axis):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, 40, 30))
        shape = list(x.shape)
        shape[axis] = 2
        zi = rng.standard_normal((len(SOS), *shape))
        y, zf = sosfilt_tensor(SOS, torch.from_numpy(x), torch.from_numpy(zi), axis, engine=engine, reverse=reverse)
        turned = np.flip(x, axis) if reverse else x
        expected, expected_zf = scipy.signal.sosfilt(SOS.numpy().copy(), turned, axis, zi)
        np.testing.assert_allclose(y, np.flip(expected, axis) if reverse else expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(zf, expected_zf, rtol=0, atol=1e-12)

    @engines
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int16])
    def test_dtypes_stay_or_become_float64(self, engine, dtype):
        x = (10 * torch.randn(3, 200)).to(dtype)
        y, zf = sosfilt_tensor(SOS, x, engine=engine)
        wide = torch.complex128 if dtype.is_complex else torch.float64
        expected, _ = sosfilt_tensor(SOS, x.to(wide), engine=engine)
        assert y.dtype is (torch.float64 if dtype is torch.int16 else dtype)
        assert zf.dtype is wide
        torch.testing.assert_close(y, expected.to(y.dtype))

    def test_a_complex_state_makes_real_data_complex(self):
        zi = torch.randn(len(SOS), 2, dtype=torch.complex128)
        y, _ = sosfilt_tensor(SOS, torch.ones(9), zi)
        assert y.dtype is torch.complex64

    def test_shapes_that_do_not_fit_are_named(self):
        with pytest.raises(DataError, match=r"zi must have shape \(2, 3, 2\), got \(2, 2\)"):
            sosfilt_tensor(SOS, torch.ones(3, 9), torch.ones(2, 2))
        with pytest.raises(DataError, match="axis 2 does not exist"):
            sosfilt_tensor(SOS, torch.ones(3, 9), axis=2)
        with pytest.raises(DataError, match=r"shape \[sections, 6\], got \(6,\)"):
            sosfilt_tensor(SOS[0], torch.ones(3, 9))

    def test_nobody_watching_means_no_operator(self):
        x = torch.ones(5)
        assert not needs_dispatch(x, None, SOS)
        with_grad = torch.ones(5, requires_grad=True)
        assert needs_dispatch(with_grad)
        assert needs_dispatch(x, with_grad)
        assert needs_dispatch(x, None, with_grad)
        with torch.no_grad():
            assert not needs_dispatch(with_grad)
        assert needs_dispatch(torch.ones(5, device="meta"))
        with FakeTensorMode():
            assert needs_dispatch(x)
        assert torch.func.vmap(lambda row: torch.tensor(needs_dispatch(row)))(torch.ones(2, 3)).all()


class TestGradients:
    def test_without_the_native_engine_they_are_those_of_scipys_loops(self, monkeypatch):
        sos, x, _ = arguments()
        expected = torch.autograd.grad(sosfilt_tensor(sos, x)[0].square().sum(), (sos, x))
        monkeypatch.setattr(torch_ops, "why_unavailable", lambda name: "no compiler" if name == "native" else None)
        y, _ = sosfilt_tensor(sos, x)
        np.testing.assert_array_equal(y.detach(), scipy.signal.sosfilt(sos.detach(), x.detach()))
        for mine, reference in zip(torch.autograd.grad(y.square().sum(), (sos, x)), expected, strict=True):
            torch.testing.assert_close(mine, reference)

    @engines
    @directions
    @pytest.mark.parametrize("reference", ["x", "zi", "x zi", "sos", "sos x zi"])
    def test_first_and_second_derivatives(self, engine, reverse, reference):
        inputs = [
            value.requires_grad_(name in reference.split())
            for name, value in zip(("sos", "x", "zi"), arguments(), strict=True)
        ]

        @unpinned
        def run(sos, x, zi):
            return sosfilt_tensor(sos, x, zi, engine=engine, reverse=reverse)

        assert gradcheck(run, inputs, fast_mode=True)
        assert gradgradcheck(run, inputs, fast_mode=True)

    @pytest.mark.parametrize("time", [1, 2, 3, 40])
    @pytest.mark.parametrize("rows", [(), (2, 3)])
    def test_lengths_and_shapes(self, rows, time):
        run = unpinned(lambda sos, x, zi: sosfilt_tensor(sos, x, zi))
        assert gradcheck(run, arguments(rows, time), fast_mode=True, check_forward_ad=True)

    @pytest.mark.skipif(why_unavailable("native") is not None, reason="the native engine is not built")
    @directions
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
    def test_first_derivatives_are_those_that_have_derivatives(self, monkeypatch, reverse, dtype):
        """`create_graph` computes them in terms of the operator; without, the native engine does."""
        from bridgeflow.signal.iir import native_gradients

        monkeypatch.setattr(native_gradients, "_IN_CACHE", 1)
        monkeypatch.setattr(native_gradients, "_WORTH_THREADS", 0)
        monkeypatch.setattr(native_gradients, "_DOT", 100)
        sos, x, zi = SOS.clone().requires_grad_(), torch.randn(2, 20, 301, dtype=dtype), torch.randn(len(SOS), 2, 20, 2)
        inputs = (sos, x.requires_grad_(), zi.double().requires_grad_())
        y, zf = sosfilt_tensor(*inputs, reverse=reverse)
        weights = torch.randn_like(y), torch.randn_like(zf)
        expected = torch.autograd.grad((y, zf), inputs, weights, create_graph=True)
        each = []
        for threads in (1, 3):
            monkeypatch.setattr(native_gradients, "compute_threads", lambda threads=threads: threads)
            each.append(torch.autograd.grad((y, zf), inputs, weights, retain_graph=True))
        for one, three, reference in zip(*each, expected, strict=True):
            assert torch.equal(one, three)
            torch.testing.assert_close(
                one, reference.detach(), rtol=1e-9 if dtype == torch.float64 else 1e-5, atol=1e-5
            )

    def test_no_samples(self):
        sos, x, zi = arguments(time=0)
        _, zf = sosfilt_tensor(sos, x, zi)
        (gradient,) = torch.autograd.grad(zf.sum(), zi)
        assert torch.equal(gradient, torch.ones_like(zi))

    def test_complex_data(self):
        run = unpinned(lambda sos, x, zi: sosfilt_tensor(sos, x, zi))
        assert gradcheck(run, arguments(dtype=torch.complex128), fast_mode=True)
        sos, x, _ = arguments(dtype=torch.complex128)
        zi = torch.randn(len(SOS), 2, 2, dtype=torch.float64, requires_grad=True)
        assert gradcheck(run, (sos, x, zi), fast_mode=True)

    def test_another_axis(self):
        assert gradcheck(lambda x: sosfilt_tensor(SOS, x, axis=0)[0], torch.randn(7, 3).double().requires_grad_())

    def test_only_the_final_state_is_wanted(self):
        sos, x, zi = arguments()
        assert gradcheck(unpinned(lambda *inputs: sosfilt_tensor(*inputs)[1]), (sos, x, zi), fast_mode=True)

    @directions
    def test_forward_mode(self, reverse):
        @unpinned
        def run(sos, x, zi):
            return sosfilt_tensor(sos, x, zi, reverse=reverse)

        assert gradcheck(run, arguments(), check_forward_ad=True, check_backward_ad=False)
        x = torch.randn(2, 50)
        with forward_ad.dual_level():
            y, _ = sosfilt_tensor(SOS, forward_ad.make_dual(x, x))
            torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, sosfilt_tensor(SOS, x)[0])

    @pytest.mark.parametrize("name", [*EASY, *HARD])
    def test_adjoint(self, name):
        """<filter(x), g> = <x, gradient(g)>, on filters of every kind, in the precision of the data."""
        sos = torch.from_numpy((EASY | HARD)[name])
        x, g = torch.randn(2, 3, 4000, dtype=torch.float64).unbind()
        y, _ = sosfilt_tensor(sos, x.requires_grad_())
        (gradient,) = torch.autograd.grad(y, x, g)
        scale = (y.norm() * g.norm()).item()
        assert abs(((y * g).sum() - (x * gradient).sum()).item()) < 1e-9 * scale

    def test_gradients_keep_the_dtype_of_what_they_are_for(self):
        sos = SOS.float().requires_grad_()
        x = torch.randn(2, 30, requires_grad=True)
        zi = torch.zeros(len(SOS), 2, 2, dtype=torch.float64, requires_grad=True)
        y, zf = sosfilt_tensor(sos, x, zi, precision="float32")
        for value, gradient in zip((sos, x, zi), torch.autograd.grad(y.sum() + zf.sum(), (sos, x, zi)), strict=True):
            assert (gradient.dtype, gradient.shape) == (value.dtype, value.shape)

    def test_in_pieces_gradients_pass_from_state_to_state(self):
        x = torch.randn(2, 60, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(2, 60, dtype=torch.float64)
        whole, _ = sosfilt_tensor(SOS, x)
        (expected,) = torch.autograd.grad((whole * weights).sum(), x)
        state = torch.zeros(len(SOS), 2, 2, dtype=torch.float64)
        loss = torch.zeros((), dtype=torch.float64)
        for piece, weight in zip(x.split([1, 20, 0, 39], 1), weights.split([1, 20, 0, 39], 1), strict=True):
            y, state = sosfilt_tensor(SOS, piece, state)
            loss = loss + (y * weight).sum()
        torch.testing.assert_close(torch.autograd.grad(loss, x)[0], expected)


class TestZeroPhase:
    @engines
    @pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
    @pytest.mark.parametrize("axis", [0, -1])
    @pytest.mark.parametrize("padlen", [None, 0, 5])
    def test_is_scipys(self, engine, padtype, axis, padlen):
        x = np.random.default_rng(0).standard_normal((40, 50))
        y = sosfiltfilt_tensor(SOS, torch.from_numpy(x), axis, padtype, padlen, engine=engine)
        expected = scipy.signal.sosfiltfilt(SOS.numpy().copy(), x, axis, padtype, padlen)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)

    def test_first_order_sections_get_scipys_padding(self):
        sos = EASY["butter 5, first-order section"]
        x = np.random.default_rng(0).standard_normal(60)
        np.testing.assert_allclose(
            sosfiltfilt_tensor(sos, torch.from_numpy(x)), scipy.signal.sosfiltfilt(sos, x), rtol=0, atol=1e-12
        )

    def test_derivatives(self):
        x = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)
        run = unpinned(lambda sos, x: sosfiltfilt_tensor(sos, x, padlen=5))
        assert gradcheck(run, (SOS.clone().requires_grad_(), x), fast_mode=True)
        assert gradgradcheck(run, (SOS.clone().requires_grad_(), x), fast_mode=True)

    def test_float32_stays_with_double_precision_between_the_passes(self):
        x = torch.randn(2, 500)
        expected = sosfiltfilt_tensor(SOS, x.double()).float()
        assert torch.equal(sosfiltfilt_tensor(SOS, x), expected)

    def test_steady_state_is_scipys(self):
        for sos in (EASY | HARD).values():
            np.testing.assert_allclose(
                sosfilt_zi_tensor(torch.from_numpy(sos)), scipy.signal.sosfilt_zi(sos), rtol=1e-7, atol=1e-7
            )

    def test_too_few_samples(self):
        with pytest.raises(DataError, match="greater than padlen, which is 15, got 15 samples"):
            sosfiltfilt_tensor(SOS, torch.ones(15), padlen=15)


class TestTorch:
    @pytest.mark.parametrize(("zi", "learned", "reverse"), [(False, False, True), (True, True, False)])
    def test_the_operator_is_well_made(self, zi, learned, reverse):
        sos, x, state = arguments(time=20)
        torch.library.opcheck(
            torch_ops._operator,
            (sos.detach().requires_grad_(learned), x, state if zi else None, "float64", "auto", reverse),
        )

    @pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
    def test_compiles_in_one_graph_with_gradients(self, backend):
        def run(sos, x, zi):
            y, zf = sosfilt_tensor(sos, 2 * x, zi)
            return y.sin(), zf

        inputs = arguments(time=50)
        compiled = torch.compile(run, fullgraph=True, backend=backend)
        for ours, expected in zip(compiled(*inputs), run(*inputs), strict=True):
            torch.testing.assert_close(ours, expected)
        gradients = [torch.autograd.grad(f(*inputs)[0].sum(), inputs) for f in (compiled, run)]
        for ours, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, expected)

    def test_zero_phase_compiles_where_the_padding_is_given(self):
        x = torch.randn(2, 60)
        compiled = torch.compile(lambda x: sosfiltfilt_tensor(SOS, x, padlen=15), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), sosfiltfilt_tensor(SOS, x, padlen=15))

    def test_exports_with_any_number_of_rows_and_samples(self):
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("sos", SOS)

            def forward(self, x):
                return sosfilt_tensor(self.sos, x)[0] + 1

        sizes = {"x": {0: torch.export.Dim("rows"), 1: torch.export.Dim("time", min=2)}}
        program = torch.export.export(Model(), (torch.randn(3, 40),), dynamic_shapes=sizes)
        x = torch.randn(5, 123)
        torch.testing.assert_close(program.module()(x), Model()(x))
        targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
        assert targets[0] == "bridgeflow.sosfilt.default"

    def test_vmap(self):
        _, x, zi = (value.detach() for value in arguments((3, 2), 30))
        y, zf = sosfilt_tensor(SOS, x, zi)
        mapped = torch.func.vmap(lambda x, zi: sosfilt_tensor(SOS, x, zi), in_dims=(0, 1), out_dims=(0, 1))
        torch.testing.assert_close(mapped(x, zi), (y, zf))
        mapped = torch.func.vmap(lambda x: sosfilt_tensor(SOS, x, zi[:, 0])[0], in_dims=0)
        torch.testing.assert_close(mapped(x)[1], sosfilt_tensor(SOS, x[1], zi[:, 0])[0])
        twice = torch.func.vmap(torch.func.vmap(lambda row: sosfilt_tensor(SOS, row)[0]))
        torch.testing.assert_close(twice(x), sosfilt_tensor(SOS, x)[0])

    def test_vmap_over_filters(self):
        x = torch.randn(30, dtype=torch.float64)
        bank = torch.stack([SOS, SOS.flip(0) * torch.tensor([0.5, 0.5, 0.5, 1, 1, 1])])
        mapped = torch.func.vmap(lambda sos: sosfilt_tensor(sos, x)[0])(bank)
        torch.testing.assert_close(mapped, torch.stack([sosfilt_tensor(sos, x)[0] for sos in bank]))

    def test_torch_func(self):
        def loss(sos, row):
            return sosfilt_tensor(sos, row)[0].pow(2).sum()

        sos, x, _ = (value.detach() for value in arguments((3,), 20))
        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(sos, x)  # a gradient for every sample
        for row, gradient in zip(x, each, strict=True):
            with_grad = sos.clone().requires_grad_()
            torch.testing.assert_close(torch.autograd.grad(loss(with_grad, row), with_grad)[0], gradient)
        forward, backward = torch.func.jacfwd(loss, argnums=1)(sos, x[0]), torch.func.jacrev(loss, argnums=1)(sos, x[0])
        torch.testing.assert_close(forward, backward)
        response = torch.func.jacrev(lambda row: sosfilt_tensor(sos, row)[0])(x[0])
        torch.testing.assert_close(torch.func.hessian(loss, argnums=1)(sos, x[0]), 2 * response.T @ response)

    def test_forward_mode_inside_compile_is_refused_rather_than_zero(self):
        def run(x):
            return torch.func.jvp(lambda row: sosfilt_tensor(SOS, row)[0], (x,), (x,))[1]

        with pytest.raises(Exception, match="takes the forward-mode derivative of this operator for zero"):
            torch.compile(run, fullgraph=True, backend="aot_eager")(torch.randn(30))

    def test_autocast_leaves_data_and_recursion_alone(self):
        x = torch.randn(2, 300)
        for tensor in (x, x.clone().requires_grad_()):
            expected, _ = sosfilt_tensor(SOS, tensor, engine="blocks")
            with torch.autocast("cpu", torch.bfloat16):
                y, _ = sosfilt_tensor(SOS, tensor, engine="blocks")
            assert torch.equal(y, expected)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.int16, torch.bfloat16])
    def test_shapes_and_dtypes_without_data(self, dtype):
        expected = sosfilt_tensor(SOS, torch.ones(3, 7, 2).to(dtype), axis=1)
        on_meta = sosfilt_tensor(SOS, torch.ones(3, 7, 2, dtype=dtype, device="meta"), axis=1)
        with FakeTensorMode(allow_non_fake_inputs=True):
            faked = sosfilt_tensor(SOS, torch.ones(3, 7, 2, dtype=dtype), axis=1)
        for tensors in (on_meta, faked):
            for tensor, value in zip(tensors, expected, strict=True):
                assert (tensor.shape, tensor.dtype, tensor.stride()) == (value.shape, value.dtype, value.stride())

    @pytest.mark.cuda
    def test_cuda_gives_the_same_gradients(self):
        inputs = arguments((3,), 500)
        on_device = [value.detach().cuda().requires_grad_() for value in inputs]
        expected = torch.autograd.grad(sosfilt_tensor(*inputs)[0].pow(2).sum(), inputs)
        gradients = torch.autograd.grad(sosfilt_tensor(*on_device)[0].pow(2).sum(), on_device)
        for ours, value in zip(gradients, expected, strict=True):
            torch.testing.assert_close(ours.cpu(), value)
