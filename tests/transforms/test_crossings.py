"""The transforms over the bridge: what they add to its functions, which have their own tests in `tests/bridge`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import Shared, describe, kind_of, to_numpy, trace
from bridgeflow.errors import ConfigError, CopyRefused, NoRoute
from bridgeflow.transforms import Clone, Detach, SharedView, ToArrow, ToDevice, ToNumpy, ToTensor


def pointer(x: Any) -> int:
    return int(x.data_ptr()) if isinstance(x, torch.Tensor) else int(to_numpy(x).__array_interface__["data"][0])


class TestOptions:
    @pytest.mark.parametrize(("word", "meant"), [(None, "auto"), (False, "never"), (True, "always")])
    @pytest.mark.parametrize("cls", [ToNumpy, ToTensor, ToArrow, SharedView])
    def test_the_words_of_the_array_api_are_ours(self, cls: type, word: Any, meant: str):
        assert cls(copy=word) == cls(copy=meant)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ToNumpy(copy="maybe"),  # type: ignore[arg-type]
            lambda: ToNumpy(grad="drop"),  # type: ignore[arg-type]
            lambda: ToNumpy(nulls="zero"),  # type: ignore[arg-type]
            lambda: ToTensor(ragged="cut"),  # type: ignore[arg-type]
            lambda: ToTensor(layout="WHC"),  # type: ignore[arg-type]
            lambda: SharedView(copy="maybe"),  # type: ignore[arg-type]
            lambda: SharedView(across="network"),  # type: ignore[arg-type]
        ],
    )
    def test_wrong_words_are_refused_when_made(self, make: Any):
        with pytest.raises(ValueError, match="must be one of"):
            make()

    def test_reach_the_bridge(self):
        x = torch.arange(3.0, requires_grad=True)
        assert pointer(ToNumpy()(x)) == pointer(x)
        assert pointer(ToNumpy(copy="always")(x)) != pointer(x)
        with pytest.raises(NoRoute, match="grad"):
            ToNumpy(grad="error")(x)
        assert not ToNumpy(writable=False)(x).flags.writeable
        assert ToNumpy(bfloat16="uint16")(torch.ones(1).bfloat16()).dtype == "uint16"
        assert ToNumpy(nulls=7)(pa.array([1.0, None])).tolist() == [1.0, 7.0]
        padded = ToNumpy(ragged="pad", pad_value=-1)({"x": pa.array([[1.0], [2.0, 3.0]])})
        assert padded["x"].tolist() == [[1.0, -1.0], [2.0, 3.0]]
        assert ToTensor(device="meta")(np.ones(2)).is_meta
        with pytest.raises(CopyRefused, match="read-only"):
            ToTensor(copy="never")(np.frombuffer(b"\0" * 8))
        assert ToTensor(copy="never", writable=False)(np.frombuffer(b"\0" * 8)).item() == 0.0

    def test_promise_what_stands_beside(self):
        data = {"x": pa.array([[1.0], [2.0, 3.0]]), "y": pa.array([1.0, None])}
        promised = ToNumpy(ragged="pad", keys=("x",)).explain(data).result
        assert str(promised["x_length"]) == "numpy int64[2]"
        promised = ToTensor(nulls="mask", keys=("y",)).explain(data).result
        assert str(promised["y_mask"]) == "torch bool[2]"

    def test_padding_needs_all_rows(self):
        assert not ToNumpy(ragged="pad").streams
        assert "longest row" in ToTensor(ragged="pad").stream_obstacle
        assert ToNumpy(ragged="list").streams


class TestToTensor:
    def test_never_rescales_and_never_transposes(self):
        image = np.arange(24, dtype="uint8").reshape(2, 4, 3)
        actual = ToTensor()(image)
        assert (actual.dtype, tuple(actual.shape)) == (torch.uint8, (2, 4, 3))
        assert pointer(actual) == pointer(image)


class TestClone:
    @pytest.mark.parametrize(
        "x",
        [
            np.arange(6.0).reshape(2, 3)[:, ::-1],
            np.frombuffer(b"12345678"),
            torch.arange(6.0).reshape(2, 3).T,
            torch.ones(2, requires_grad=True),
            torch.ones(2, dtype=torch.complex64).conj(),
            pa.array([1.0, None, 3.0]),
            pa.array([[1.0], [2.0, 3.0]]),
        ],
        ids=lambda x: str(describe(x)),
    )
    def test_is_equal_and_elsewhere(self, x: Any):
        actual = Clone()(x)
        assert type(actual) is type(x)
        if isinstance(x, pa.Array):
            assert actual.equals(x)
            assert {b.address for b in actual.buffers() if b}.isdisjoint({b.address for b in x.buffers() if b})
            return
        np.testing.assert_array_equal(to_numpy(actual), to_numpy(x))
        assert pointer(actual) != pointer(x)
        assert describe(actual).writable

    def test_keeps_the_graph(self):
        x = torch.ones(2, requires_grad=True)
        assert Clone()(x).grad_fn is not None

    def test_keeps_masks(self):
        actual = Clone()(np.ma.masked_array([1.0, 2.0], mask=[False, True]))
        assert actual.tolist() == [1.0, None]

    def test_copies_pictures(self):
        image = pytest.importorskip("PIL.Image").new("L", (2, 2), 7)
        actual = Clone()(image)
        actual.putpixel((0, 0), 1)
        assert image.getpixel((0, 0)) == 7

    def test_leaves_foreign_arrays_to_their_library(self):
        with pytest.raises(NoRoute, match="kind dlpack"):
            Clone()(SharedView()(np.ones(2)))

    def test_is_traced(self):
        with trace() as seen:
            Clone()({"x": np.ones(3), "y": pa.array([1.0])})
        assert [(exchange.place, exchange.action, exchange.reason) for exchange in seen] == [
            ("$.x", "copy", "asked"),
            ("$.y", "copy", "asked"),
        ]
        assert seen.total_bytes == 32


class TestDetach:
    def test_is_a_view_without_a_graph(self):
        x = torch.ones(2, requires_grad=True)
        actual = Detach()(x * 2)
        assert not actual.requires_grad
        assert pointer(Detach()(x)) == pointer(x)

    def test_leaves_others_alone(self):
        for x in (np.ones(2), pa.array([1.0])):
            assert Detach()(x) is x


class TestToDevice:
    def test_stays_where_it_is(self):
        x = torch.ones(2)
        assert ToDevice(device="cpu")(x) is x

    @pytest.mark.parametrize("device", [0, None, 1.5, b"cpu", "CPU", "cuda:"])
    def test_wants_a_name(self, device: Any):
        with pytest.raises(ConfigError, match="ToDevice: device must be a name"):
            ToDevice(device=device)

    @pytest.mark.parametrize("x", [np.ones(2), pa.array([1.0])])
    def test_moves_tensors_alone(self, x: Any):
        for call in (ToDevice(device="cpu"), ToDevice(device="cpu").explain):
            with pytest.raises(NoRoute, match=r"have no device to move to.*put ToTensor before"):
                call(x)

    def test_meta_tensors_have_nothing_to_move(self):
        for call in (ToDevice(device="cpu"), ToDevice(device="cpu").explain):
            with pytest.raises(NoRoute, match="no data to move"):
                call(torch.ones(2, device="meta"))

    def test_a_move_is_told(self):
        x = {"ecg": torch.ones(2, 3)}
        with trace() as seen:
            ToDevice(device="meta")(x)
        (exchange,) = seen
        (planned,) = ToDevice(device="meta").explain(x).exchanges
        assert (exchange.place, exchange.action, exchange.reason, exchange.target.device) == (
            "$.ecg",
            "move",
            "device",
            "meta",
        )
        assert (planned.place, planned.action, planned.target) == ("$.ecg", "move", exchange.target)

    @pytest.mark.parametrize("device", ["", "CUDA", "cuda:", "cuda:x", "cuda 0"])
    def test_names_are_checked_when_made(self, device: str):
        with pytest.raises(ValueError, match="device must be a name"):
            ToDevice(device=device)

    @pytest.mark.parametrize("device", ["cuda:99", "warpdrive"])
    def test_devices_are_looked_for_when_used(self, device: str):
        with pytest.raises(NoRoute, match=r"^\$\.x: there is no cuda:99|^\$\.x: torch knows no device 'warpdrive'"):
            ToDevice(device=device)({"x": torch.ones(2)})

    @pytest.mark.cuda
    @pytest.mark.parametrize("non_blocking", [False, True])
    def test_there_and_back(self, non_blocking: bool):
        x = torch.arange(1000.0).pin_memory()
        there = ToDevice(device="cuda", non_blocking=non_blocking)(x)
        assert str(there.device) == ToDevice(device="cuda").explain(x).result.device == "cuda:0"
        back = ToDevice(device="cpu", non_blocking=non_blocking)(there)
        torch.cuda.synchronize()
        torch.testing.assert_close(back, x)

    @pytest.mark.cuda
    def test_a_gradient_comes_back(self):
        x = torch.ones(3, requires_grad=True)
        ToDevice(device="cuda")(x).sum().backward()
        assert x.grad is not None


class TestSharedView:
    def test_three_faces_of_one_buffer(self):
        x = np.zeros((2, 3), "float32")
        shared = SharedView()({"ecg": x})["ecg"]
        assert isinstance(shared, Shared)
        shared.tensor[0, 0] = 1
        shared.numpy[0, 1] = 2
        assert x[0].tolist() == [1.0, 2.0, 0.0]
        assert shared.arrow.storage.flatten().to_pylist()[:2] == [1.0, 2.0]

    def test_what_follows_takes_it_as_an_array(self):
        shared = SharedView()(np.arange(3.0))
        assert kind_of(shared) == "dlpack"
        for transform in (ToNumpy(), ToTensor(), ToArrow()):
            assert pointer(transform(shared)) == pointer(shared.numpy)

    def test_read_only_faces(self):
        shared = SharedView(writable=False)(np.arange(3.0))
        assert not shared.numpy.flags.writeable
        assert not ToNumpy()(shared).flags.writeable

    def test_what_torch_owns_is_copied_once(self):
        x = torch.arange(3.0)
        plan = SharedView().explain(x)
        assert plan.total_bytes == 12
        shared = SharedView()(x)
        assert pointer(shared) != pointer(x)
        for call in (SharedView(copy="never"), SharedView(copy="never").explain):
            with pytest.raises(CopyRefused, match="may move"):
                call(x)

    def test_pickles_by_value(self):
        shared = pickle.loads(pickle.dumps(SharedView()(np.arange(3.0))))
        assert shared.tensor.tolist() == [0.0, 1.0, 2.0]

    def test_across_processes_it_is_one_copy_and_pickles_as_a_handle(self):
        x = {"ecg": np.zeros((4, 100_000), "float32"), "label": 3}
        transform = SharedView(across="process")
        plan = transform.explain(x)
        assert plan.total_bytes == 1_600_000
        assert {step.reason for step in plan.steps if step.action == "copy"} == {"process-owned"}
        with trace() as record:
            shared = transform(x)["ecg"]
        assert record.total_bytes == plan.total_bytes
        sent = pickle.dumps(shared)
        assert len(sent) < 1000
        pickle.loads(sent).tensor[1, 2] = 5
        assert shared.numpy[1, 2] == 5
        assert SharedView(across="process", copy="never")(shared.numpy).numpy[1, 2] == 5
        with pytest.raises(CopyRefused, match="belongs to this process alone"):
            SharedView(across="process", copy="never")(x)

    def test_across_processes_follows_its_configuration(self):
        transform = SharedView(across="process", writable=False)
        assert SharedView.from_config(transform.to_config()) == transform
        assert transform.to_config()["SharedView"]["across"] == "process"
