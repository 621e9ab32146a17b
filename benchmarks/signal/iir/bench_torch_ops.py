"""What a gradient costs beside the filter itself, and beside others who filter tensors."""

from __future__ import annotations

from functools import partial

import scipy.signal
import torch
from torch import Tensor

from benchmarks.harness import MissingPeer, Race, benchmark, faster, need, within
from bridgeflow.signal.iir.engine import why_unavailable
from bridgeflow.signal.iir.torch_ops import TensorEngine, sosfilt_tensor


def filters(sections: int) -> Tensor:
    return torch.from_numpy(scipy.signal.butter(2 * sections, 0.2, output="sos"))


def gradient(y: Tensor, *watched: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, watched, y.detach(), retain_graph=True)


@benchmark(
    "tensor under autograd, {shape} {dtype}, 4 sections, 2 threads",
    shape=["[512, 4096]", "[256, 1024]", "[1, 2^20]"],
    dtype=["float32", "float64"],
)
def under_autograd(shape: str, dtype: str) -> Race:
    """The operator that autograd, `torch.compile` and `torch.export` see, which on the CPU is the native engine."""
    sizes = {"[512, 4096]": (512, 4096), "[256, 1024]": (256, 1024), "[1, 2^20]": (1, 2**20)}[shape]
    sos, x = filters(4), torch.randn(*sizes, dtype=getattr(torch, dtype), requires_grad=True)
    theirs, values = sos.numpy().astype(dtype), x.detach().numpy()
    return Race(
        ours=partial(sosfilt_tensor, sos, x),
        peers={"scipy.signal.sosfilt": partial(scipy.signal.sosfilt, theirs, values)},
        targets={"scipy.signal.sosfilt": faster(1 if sizes[0] == 1 else 3)},
        work=(x.numel(), "sample"),
        threads=2,
    )


@benchmark(
    "forward and gradient for the {what}, [512, 4096] {dtype}, {sections} sections",
    what=["data", "sections"],
    dtype=["float32", "float64"],
    sections=[2, 4],
)
def forward_and_gradient(what: str, dtype: str, sections: int) -> Race:
    sos, x = filters(sections), torch.randn(512, 4096, dtype=getattr(torch, dtype))
    watched = sos.clone().requires_grad_() if what == "sections" else x.clone().requires_grad_()
    weights = torch.randn_like(x)

    def ours() -> tuple[Tensor, ...]:
        y, _ = sosfilt_tensor(*((watched, x) if what == "sections" else (sos, watched)))
        return torch.autograd.grad(y, watched, weights)

    return Race(
        ours=ours,
        peers={"forward": partial(sosfilt_tensor, sos, x)},
        targets={"forward": within(2.2 if what == "data" else 3)},
        work=(x.numel(), "sample"),
    )


@benchmark(
    "gradient for the data, {engine}, [512, 4096] {dtype}, {sections} sections",
    engine=["native", "blocks"],
    dtype=["float32", "float64"],
    sections=[2, 4],
)
def for_the_data(engine: TensorEngine, dtype: str, sections: int) -> Race:
    if engine == "native" and (reason := why_unavailable("native")):
        raise MissingPeer(reason)
    sos, x = filters(sections), torch.randn(512, 4096, dtype=getattr(torch, dtype))
    forward = partial(sosfilt_tensor, sos, engine=engine)
    watched = x.clone().requires_grad_()
    y, _ = forward(watched)
    return Race(
        ours=partial(gradient, y, watched),
        peers={"forward": partial(forward, x)},
        targets={"forward": within(2.5)},
        work=(x.numel(), "sample"),
    )


@benchmark("filter and gradient for data and sections, [32, 4096] float64, {sections} sections", sections=[1, 2, 4])
def for_everything(sections: int) -> Race:
    philtorch = need("philtorch.lti")
    sos, x = filters(sections).requires_grad_(), torch.randn(32, 4096, dtype=torch.float64, requires_grad=True)

    def ours() -> tuple[Tensor, ...]:
        return gradient(sosfilt_tensor(sos, x)[0], sos, x)

    def theirs() -> tuple[Tensor, ...]:
        y = x
        for section in sos:
            y = philtorch.lfilter(section[:3], section[4:], y)
        return gradient(y, sos, x)

    return Race(
        ours=ours,
        peers={"philtorch": theirs},
        work=(x.numel(), "sample"),
        agree=torch.testing.assert_close,
    )
