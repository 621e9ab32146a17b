"""Filter states in a folder: the same bits with and without them, whatever has become of the files."""

from __future__ import annotations

import os
from multiprocessing import get_context

import numpy as np
import pytest

from bridgeflow import (
    Compose,
    Decimate,
    DiskCache,
    FilterBank,
    Loader,
    MedianFilter,
    Recording,
    Recordings,
    Scale,
    SignalDataset,
    SignalFilter,
    Window,
)
from bridgeflow.errors import ConfigError
from tests.pipeline.stand_in_recordings import of_arrays

BAND = {"design": "butter", "btype": "bandpass", "cutoff": (1.0, 20.0), "order": 3, "fs": 100.0}
CHAINS = {
    "causal": [SignalFilter(**BAND)],
    "causal steady": [SignalFilter(**BAND, initial="steady", nonfinite="reset")],
    "zero phase": [SignalFilter(**BAND, mode="zero_phase")],
    "zero phase single": [SignalFilter(**BAND, mode="zero_phase", precision="float32")],
    "several": [Scale(scale=0.1), SignalFilter(**BAND), MedianFilter(kernel_size=5), Decimate(q=2)],
    "bank": [FilterBank(bands=((1.0, 4.0), (8.0, 13.0)), fs=100.0, order=2, mode="zero_phase")],
    "decimate causal": [Decimate(q=3, zero_phase=False)],
    "interpolate": [SignalFilter(**BAND, nonfinite="interpolate", max_gap=5)],
}


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"r{number}.npy" for number in range(2)]
    for path in paths:
        np.save(path, rng.integers(-3000, 3000, (9000, 2)).astype("int16"))
    return paths


def dataset(paths, name, cache=None, **options):
    recordings = Recordings(list(map(str, paths)), fs=100)
    return SignalDataset(recordings, Compose([*CHAINS[name], Window(length=100, hop=70)]), cache=cache, **options)


def windows(dataset):
    rows = np.random.default_rng(0).permutation(len(dataset))
    return dataset.batch(rows)["signal"].numpy().tobytes()


def files(folder):
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_the_same_bits_with_and_without(paths, tmp_path, name, monkeypatch):
    folder = tmp_path / "cache"
    right = windows(dataset(paths, name))
    assert windows(dataset(paths, name, folder)) == right
    kept = files(folder)
    assert len(kept) == len(paths) * (2 if name in {"several", "bank"} else 1)
    monkeypatch.setattr("bridgeflow.pipeline.grid_states.Returning._pass_over", None)
    monkeypatch.setattr("bridgeflow.pipeline.grid_states.Carried._advance", None)
    assert windows(dataset(paths, name, DiskCache(folder))) == right
    assert files(folder) == kept


@pytest.mark.parametrize("damage", ["cut off", "changed", "another's", "empty", "text"])
@pytest.mark.parametrize("name", ["causal", "zero phase"])
def test_damaged_files_are_computed_again(paths, tmp_path, name, damage):
    folder = tmp_path / "cache"
    right = windows(dataset(paths, name, folder))
    one, other = sorted(folder.iterdir())
    before = one.read_bytes()
    spoiled = {
        "cut off": before[:-1],
        "changed": before[:200] + bytes([before[200] ^ 64]) + before[201:],
        "another's": other.read_bytes(),
        "empty": b"",
        "text": b"states",
    }[damage]
    one.write_bytes(spoiled)
    assert windows(dataset(paths, name, folder)) == right
    assert one.read_bytes() == before


@pytest.mark.parametrize("name", ["causal", "zero phase"])
def test_whole_files_with_other_contents_are_not_taken(paths, tmp_path, name, monkeypatch):
    """A file whose digests are right, and whose states have another form."""
    folder = tmp_path / "cache"
    right = windows(dataset(paths, name))
    true_put = DiskCache.put
    for contents in (b"", b"[]", b'{"places": [5], "states": {"list": []}}', b'{"places": 3}', bytes(100), b"\xff{"):
        with monkeypatch.context() as patch:
            patch.setattr(DiskCache, "put", lambda *args, put=true_put, is_=contents: put(*args[:3], is_))
            windows(dataset(paths, name, folder))
        assert windows(dataset(paths, name, folder)) == right


def test_states_of_other_samples_stages_and_grids_are_others(paths, tmp_path):
    folder = tmp_path / "cache"
    windows(dataset(paths, "zero phase", folder))
    assert len(files(folder)) == 2
    x = np.load(paths[0])
    np.save(paths[0], x[::-1])
    os.utime(paths[0], ns=(1, 1))
    assert windows(dataset(paths, "zero phase", folder)) == windows(dataset(paths, "zero phase"))
    assert len(files(folder)) == 3
    windows(dataset(paths, "zero phase", folder, state_nbytes=500))
    assert len(files(folder)) == 5
    windows(dataset(paths, "zero phase single", folder))
    assert len(files(folder)) == 7
    physical = SignalDataset(
        Recordings(list(map(str, paths)), fs=100, units="physical"),
        Compose([*CHAINS["zero phase"], Window(length=100)]),
        cache=folder,
    )
    windows(physical)
    assert len(files(folder)) == 9


def test_arrays_in_memory_are_named_by_their_samples(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 5000))

    def states(x):
        recording = Recording.from_arrays(x, fs=100, segments=[(0, 2400), (2500, 5000)])
        dataset = SignalDataset([recording], Compose([*CHAINS["zero phase"], Window(length=50)]), cache=tmp_path)
        assert np.array_equal(dataset[1]["signal"], CHAINS["zero phase"][0](x[:, :2400])[:, 50:100])
        dataset[len(dataset) - 1]
        return set(files(tmp_path))

    first = states(x)
    assert len(first) == 2
    assert states(x.copy()) == first
    other = x.copy()
    other[1, 4000] += 1e-9
    assert len(states(other)) == 4


class Doubled(Scale):
    """A stage of a user."""


def test_stages_of_a_user_are_not_cached_and_recordings_need_an_identity(paths, tmp_path):
    stages = Compose([Doubled(scale=2.0), *CHAINS["zero phase"], Window(length=50)])
    SignalDataset(Recordings(str(paths[0]), fs=100), stages, cache=tmp_path / "cache")[3]
    assert files(tmp_path / "cache") == {}
    with pytest.raises(ConfigError, match="an identity"):
        SignalDataset(of_arrays(np.zeros((1, 100))), Window(length=5), cache=tmp_path)
    with pytest.raises(ValueError, match="this dataset is of rows"):
        SignalDataset({"x": np.zeros((3, 4))}, cache=tmp_path)


def _compute(paths, folder, results):
    results.put(windows(dataset(paths, "zero phase", folder)))


def test_two_processes_and_workers_share_a_folder(paths, tmp_path):
    folder = tmp_path / "cache"
    right = windows(dataset(paths, "zero phase"))
    context = get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_compute, args=(paths, folder, results)) for _ in range(2)]
    for one in processes:
        one.start()
    assert [results.get(timeout=60) for _ in processes] == [right, right]
    for one in processes:
        one.join(60)
    kept = files(folder)
    loader = Loader(dataset(paths, "zero phase", folder), 16, num_workers=2)
    expected = Loader(dataset(paths, "zero phase"), 16)
    for batch, one in zip(loader, expected, strict=True):
        assert np.array_equal(batch["signal"], one["signal"])
    loader.close()
    assert files(folder) == kept


def test_the_index_is_kept_too(paths, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    pattern = str(tmp_path / "*.npy")
    first = Recordings(pattern, fs=100, cache=folder, group=r"(?P<number>\d)\.npy")
    calls = []
    from bridgeflow.recordings import scan

    true_open = scan.open_file
    monkeypatch.setattr(scan, "open_file", lambda *args: calls.append(args[0]) or true_open(*args))
    again = Recordings(pattern, fs=100, cache=folder, group=r"(?P<number>\d)\.npy")
    assert again == first
    assert again.labels("number") == ["0", "1"]
    assert calls == []
    np.save(tmp_path / "r2.npy", np.zeros((50, 2)))
    assert len(Recordings(pattern, fs=100, cache=folder)) == 3
    assert [path.name for path in calls] == ["r2.npy"]
    calls.clear()
    np.save(paths[0], np.zeros((70, 2)))
    changed = Recordings(pattern, fs=100, cache=folder)
    assert changed[0].columns["signal"].length == 70
    assert [path.name for path in calls] == ["r0.npy"]
    calls.clear()
    (index,) = folder.iterdir()
    index.write_bytes(index.read_bytes()[:-3])
    assert Recordings(pattern, fs=100, cache=folder) == changed
    assert len(calls) == 3
    table = {"path": ["r0.npy", "r1.npy"], "label": [3, 4]}
    kept = [Recordings.from_table(table, root=tmp_path, fs=100, cache=folder) for _ in range(2)]
    assert kept[0] == kept[1]
    assert kept[1].labels("label") == [3, 4]
