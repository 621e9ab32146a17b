"""Samplers: classes, weights, groups and lengths as promised, over ranks, workers and resumes."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from bridgeflow import (
    Balanced,
    Bucketed,
    Compose,
    EventLabels,
    Gain,
    Loader,
    Mixture,
    PerGroup,
    Scale,
    SignalDataset,
    Weighted,
    WholeRecording,
    Window,
    collate,
    generators,
)
from bridgeflow.errors import DataError, KeyNotFound
from bridgeflow.io import open_sink
from bridgeflow.recordings import Recording, Recordings
from tests.pipeline.stand_in_recordings import of_arrays

LABELS = np.repeat([0, 1, 2], [40, 11, 7])
LENGTHS = np.random.default_rng(5).integers(10, 400, 90)


def table(labels: Any = LABELS) -> dict[str, Any]:
    """Rows that know their number."""
    return {"x": np.arange(len(labels), dtype="float32"), "row": np.arange(len(labels)), "label": labels}


def noisy(sample: dict[str, Any]) -> dict[str, Any]:
    (rng,) = generators()
    return {**sample, "drawn": rng.integers(1 << 60)}


noisy.global_random = False  # type: ignore[attr-defined]


def rows(batches: Any) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]


def flat(batches: Any) -> list[int]:
    return [row for batch in rows(batches) for row in batch]


def dataset(transform: Any = None) -> SignalDataset:
    return SignalDataset(table(), transform)


SAMPLERS = {
    "balanced": lambda: Balanced(by="label"),
    "balanced without replacement": lambda: Balanced(by="label", replacement=False),
    "weighted": lambda: Weighted(LABELS + 0.5),
    "weighted without replacement": lambda: Weighted(LABELS + 0.5, replacement=False, num_samples=30),
    "per group": lambda: PerGroup(5, by="label"),
    "per group together": lambda: PerGroup(9, by="label", replacement=True, together=True),
    "bucketed": lambda: Bucketed(LABELS * 50 + 10, max_samples=700),
    "torch random": lambda: torch.utils.data.RandomSampler(range(len(LABELS))),
    "torch weighted": lambda: torch.utils.data.WeightedRandomSampler((LABELS + 0.5).tolist(), 50),
    "torch own generator": lambda: torch.utils.data.RandomSampler(
        range(len(LABELS)), generator=torch.Generator().manual_seed(3)
    ),
}
BATCHED = {
    "torch batches": lambda: torch.utils.data.BatchSampler(SAMPLERS["torch random"](), 6, drop_last=False),
}
UNIQUE = [name for name in SAMPLERS if "without" in name or name in ("per group", "bucketed")]


@pytest.mark.parametrize("name", [*SAMPLERS, *BATCHED])
class TestEverySampler:
    def loader(self, name: str, **options: Any) -> Loader:
        size = None if name in BATCHED else 6
        result = (SAMPLERS | BATCHED)[name]()
        return Loader(dataset(Compose([Scale(scale=2.0, keys="x"), noisy])), size, sampler=result, seed=4, **options)

    def test_gives_the_same_batches_for_any_threads_and_workers(self, name: str):
        plain = list(self.loader(name, threads=0))
        for options in ({"threads": 3}, {"num_workers": 1}, {"num_workers": 4}):
            loader = self.loader(name, **options)
            again = list(loader)
            loader.close()
            assert rows(again) == rows(plain)
            assert [b["drawn"].tolist() for b in again] == [b["drawn"].tolist() for b in plain]

    def test_has_the_length_that_it_says_and_other_rows_in_each_epoch(self, name: str):
        loader = self.loader(name)
        epochs = [rows(loader) for _ in range(3)]
        assert [len(epoch) for epoch in epochs] == [len(loader)] * 3
        assert epochs[0] != epochs[1] != epochs[2]
        loader.set_epoch(1)
        assert rows(loader) == epochs[1]

    def test_resumes_at_every_step(self, name: str):
        whole = self.loader(name, threads=0)
        expected = [batch for _ in range(2) for batch in rows(whole)]
        for step in range(len(whole) + 3):
            first = self.loader(name, threads=0)
            seen: list[Any] = []
            while len(seen) < step:
                seen += rows(islice(first, step - len(seen)))
            second = self.loader(name, threads=1)
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            assert seen + rows(second) == expected[: step + len(whole) - step % len(whole)]

    def test_is_found_where_training_loops_look(self, name: str):
        loader = self.loader(name)
        assert loader.dataset.digest() == dataset().digest()
        assert loader.batch_size == (None if name in BATCHED else 6)
        expected = rows(self.loader(name))
        assert list(loader.batch_sampler) == expected
        assert list(loader.sampler) == [row for batch in expected for row in batch]
        assert len(loader.sampler) == sum(map(len, expected))
        theirs = DataLoader(dataset(), batch_sampler=self.loader(name).batch_sampler, collate_fn=collate)
        assert rows(theirs) == expected
        loader.sampler.set_epoch(3)
        other = self.loader(name)
        other.set_epoch(3)
        assert rows(loader) == rows(other)

    def test_pickles_with_its_position(self, name: str):
        sampler = self.loader(name).batch_sampler
        first = list(islice(sampler, 2))
        again = pickle.loads(pickle.dumps(sampler))
        assert len(first) == 2
        assert list(again) == list(sampler)

    def test_goes_not_with_shuffle(self, name: str):
        with pytest.raises(ValueError, match="sampler decides"):
            self.loader(name, shuffle=True)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_an_epoch_and_have_as_many_batches(name: str, world: int):
    def flat_of(**options: Any) -> list[list[int]]:
        return rows(Loader(dataset(), 6, sampler=SAMPLERS[name](), seed=4, **options))

    whole = Counter(row for batch in flat_of() for row in batch)
    for uneven in ("drop", "pad", None):
        shares = [flat_of(rank=rank, world_size=world, uneven=uneven) for rank in range(world)]
        assert len({len(share) for share in shares}) == 1
        assert len({tuple(map(len, share)) for share in shares}) == 1
        together = Counter(row for share in shares for batch in share for row in batch)
        if uneven == "drop":
            assert not together - whole
        if uneven == "pad":
            assert not whole - together
        if uneven is None and "without" in name:
            assert max(together.values()) == 1


@pytest.mark.parametrize("name", UNIQUE)
def test_no_row_comes_twice_where_that_is_promised(name: str):
    loader = Loader(dataset(), 6, sampler=SAMPLERS[name](), seed=1)
    for _ in range(4):
        assert max(Counter(flat(loader)).values()) == 1


class TestBalanced:
    @pytest.mark.parametrize("replacement", [True, False])
    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_has_as_many_of_each_class_in_every_batch_of_every_rank(self, replacement: bool, world: int):
        for rank in range(world):
            options = {"rank": rank, "world_size": world, "seed": 2}
            loader = Loader(dataset(), 3, sampler=Balanced("label", replacement=replacement), **options)
            for _ in range(2):
                batches = list(loader)
                assert len(batches) == len(loader)
                for batch in batches[:-1]:
                    assert sorted(batch["label"].tolist()) == [0, 1, 2]

    def test_counts_hold_over_a_resume(self):
        loader = Loader(dataset(), 4, sampler=Balanced("label", replacement=False), seed=9)
        first = list(islice(loader, 2))
        other = Loader(dataset(), 4, sampler=Balanced("label", replacement=False), seed=9)
        other.load_state_dict(loader.state_dict())
        batches = first + list(other)
        counts = Counter(label for batch in batches for label in batch["label"].tolist())
        assert counts == {0: 7, 1: 7, 2: 7}
        assert max(Counter(flat(batches)).values()) == 1

    def test_lets_rows_of_a_class_come_equally_often(self):
        counts = Counter(flat(Loader(dataset(), 7, sampler=Balanced("label", num_samples=300))))
        for label in range(3):
            own = [counts[row] for row in np.flatnonzero(label == LABELS)]
            assert sum(own) == 100
            assert max(own) - min(own) <= 1

    @given(data=st.data())
    def test_stretches_of_any_length_are_balanced(self, data: st.DataObject):
        labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=40)))
        count = data.draw(st.integers(1, 60))
        loader = Loader(SignalDataset(table(labels)), 1, sampler=Balanced("label", num_samples=count), threads=0)
        sequence = labels[flat(loader)]
        classes = len(set(labels.tolist()))
        assert len(sequence) == count
        for start in range(0, count - classes + 1, classes):
            assert len(set(sequence[start : start + classes].tolist())) == classes

    @pytest.mark.parametrize("kind", ["text", "boolean", "array", "list", "tensor"])
    def test_takes_labels_of_any_kind(self, kind: str):
        columns = {"text": ["a", "b"], "boolean": [False, True]}
        by: Any = "label"
        values: Any = np.repeat([0, 1], [5, 2])
        if kind in columns:
            import pyarrow as pa

            source: Any = pa.table({"row": np.arange(7), "label": [columns[kind][one] for one in values]})
        else:
            source = {"row": np.arange(7)}
            by = {"array": values, "list": values.tolist(), "tensor": torch.from_numpy(values)}[kind]
        batches = list(Loader(SignalDataset(source), 4, sampler=Balanced(by, replacement=False)))
        assert sorted(np.asarray(values)[flat(batches)].tolist()) == [0, 0, 1, 1]

    @pytest.mark.parametrize("suffix", ["arrow", "parquet"])
    def test_reads_labels_without_running_the_transform(self, suffix: str, tmp_path: Path):
        with open_sink(tmp_path / f"rows.{suffix}") as sink:
            sink.write(table())

        def refuse(sample: Any) -> Any:
            raise AssertionError("the transform ran")

        loader = Loader(SignalDataset(tmp_path / f"rows.{suffix}", refuse), 6, sampler=Balanced("label"))
        assert len(loader) == 10

    def test_refuses_what_has_no_classes(self):
        with pytest.raises(KeyNotFound, match="did you mean 'label'"):
            Loader(dataset(), 4, sampler=Balanced("labels"))
        with pytest.raises(DataError, match=r"one value in each row, label has \[2\]"):
            Loader(SignalDataset({"label": np.zeros((3, 2))}), 4, sampler=Balanced("label"))
        with pytest.raises(DataError, match="row 1 has NaN"):
            Loader(SignalDataset({"label": np.array([0, np.nan])}), 4, sampler=Balanced("label"))
        with pytest.raises(DataError, match="row 1 has no value"):
            Loader(SignalDataset({"row": np.arange(2)}), 4, sampler=Balanced(["a", None]))
        with pytest.raises(DataError, match=r"expected a value for each of 58 rows, got shape \(3,\)"):
            Loader(dataset(), 4, sampler=Balanced([1, 2, 3]))
        with pytest.raises(DataError, match="smallest of 3 classes"):
            Loader(dataset(), 4, sampler=Balanced("label", replacement=False, num_samples=22))

    def test_states_of_other_labels_are_refused(self):
        one = Loader(dataset(), 4, sampler=Balanced(LABELS))
        other = Loader(dataset(), 4, sampler=Balanced(LABELS[::-1].copy()))
        for state in (one.state_dict(), Loader(dataset(), 4).state_dict()):
            with pytest.raises(DataError, match="sampler="):
                other.load_state_dict(state)
        with pytest.raises(DataError, match="shuffle="):
            Loader(dataset(), 4).load_state_dict(one.state_dict())


class TestOfRecordings:
    def recordings(self) -> Any:
        signals = [np.random.default_rng(n).standard_normal((1, 400 + 100 * n)) for n in range(3)]
        return of_arrays(*signals, subject=["a", "b", "a"], group=[0, 1, 1])

    @pytest.mark.parametrize("by", ["recording", "subject", "group"])
    def test_samplers_read_the_table(self, by: str):
        windows = SignalDataset(self.recordings(), Compose([Window(length=50), Gain(db=(-6, 6), keys="signal")]))
        values = [windows[row][by] for row in range(len(windows))]
        loader = Loader(windows, 6, sampler=Balanced(by))
        counts = Counter(str(one) for batch in loader for one in (batch[by] if by != "group" else batch[by].tolist()))
        assert max(counts.values()) - min(counts.values()) <= 1
        assert set(counts) == {str(one if by != "group" else int(one)) for one in values}

    def test_some_windows_of_each_recording(self):
        windows = SignalDataset(self.recordings(), Window(length=50))
        loader = Loader(windows, 4, sampler=PerGroup(3))
        epochs = [
            [(one, s) for b in loader for one, s in zip(b["recording"], b["start"].tolist(), strict=True)]
            for _ in range(2)
        ]
        assert all(Counter(name for name, _ in epoch) == {"r0": 3, "r1": 3, "r2": 3} for epoch in epochs)
        assert set(epochs[0]) != set(epochs[1])

    def test_parts_of_a_split_are_balanced_among_themselves(self):
        windows = SignalDataset(self.recordings(), Window(length=50))
        for part in windows.split((0.5, 0.5), by="time"):
            batches = list(Loader(part, 4, sampler=Balanced("recording", replacement=False)))
            counts = Counter(name for batch in batches for name in batch["recording"])
            assert len(set(counts.values())) == 1
            seen = {(n, s) for b in batches for n, s in zip(b["recording"], b["start"].tolist(), strict=True)}
            assert seen <= {(part[row]["recording"], int(part[row]["start"])) for row in range(len(part))}

    def test_labels_of_events_are_known_without_a_sample_read(self, monkeypatch: pytest.MonkeyPatch):
        rng = np.random.default_rng(0)
        one = Recording.from_arrays(
            {"eeg": rng.standard_normal((2, 1000))},
            fs=100.0,
            id="one",
            events=[(2.0, 1.0, "seizure"), (7.0, 1.0, "seizure")],
        )
        pipeline = Compose([Window(length=100), EventLabels(classes=("seizure",), name="label")])
        windows = SignalDataset(Recordings([one]), pipeline)
        labels = [int(windows[row]["label"]) for row in range(len(windows))]
        fresh = SignalDataset(Recordings([one]), pipeline)
        monkeypatch.setattr("bridgeflow.pipeline.lazy.cut_window", None)
        loader = Loader(fresh, 2, sampler=Balanced("label", replacement=False))
        monkeypatch.undo()
        smallest = min(Counter(labels).values())
        counts = Counter(label for batch in loader for label in batch["label"].tolist())
        assert counts == dict.fromkeys(set(labels), smallest)

    def test_recordings_of_like_length_make_a_batch(self):
        signals = [np.zeros((1, length)) for length in (100, 1000, 110, 950, 105)]
        clips = SignalDataset(of_arrays(*signals), WholeRecording(), ragged="pad")
        batches = list(Loader(clips, 3, sampler=Bucketed(max_padding=0.1)))
        lengths = sorted(sorted(batch["signal_length"].tolist()) for batch in batches)
        assert lengths == [[100, 105, 110], [950, 1000]]

    def test_unknown_columns_name_the_known(self):
        with pytest.raises(KeyNotFound, match="did you mean 'subject'"):
            Loader(SignalDataset(self.recordings(), Window(length=50)), 4, sampler=Balanced("subjct"))


class TestWeighted:
    def test_shares_are_those_of_the_weights(self):
        weights = np.array([0.0, 1.0, 2.0, 5.0])
        source = SignalDataset(table(np.arange(4)))
        counts = np.bincount(flat(Loader(source, 100, sampler=Weighted(weights, num_samples=40_000))), minlength=4)
        expected = weights / weights.sum() * 40_000
        assert counts[0] == 0
        chi = ((counts - expected)[1:] ** 2 / expected[1:]).sum()
        assert chi < 13.8  # 0.1 per cent of the chi-square distribution with 2 degrees of freedom

    def test_without_replacement_the_first_row_has_the_shares(self):
        weights = np.array([1.0, 2.0, 5.0])
        source = SignalDataset(table(np.arange(3)))
        loader = Loader(source, 3, sampler=Weighted(weights, replacement=False), threads=0)
        firsts = [next(iter(loader))["row"][0].item() for _ in range(2000)]
        expected = weights / weights.sum() * 2000
        assert ((np.bincount(firsts) - expected) ** 2 / expected).sum() < 13.8

    def test_takes_a_column(self):
        source = SignalDataset({"row": np.arange(5), "weight": np.array([0, 0, 1, 0, 1.0])})
        assert set(flat(Loader(source, 2, sampler=Weighted("weight")))) == {2, 4}

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([1.0, -1.0], "not negative, got -1.0 in row 1"),
            ([0, 0], "at least one"),
            ([1, np.inf], "finite"),
            (["a", "b"], "must be numbers"),
        ],
        ids=["negative", "zero", "infinite", "text"],
    )
    def test_refuses_other_weights(self, weights: Any, message: str):
        with pytest.raises(DataError, match=message):
            Loader(SignalDataset(table(np.arange(2))), 2, sampler=Weighted(weights))


class TestPerGroup:
    def test_small_groups_give_all_or_come_again(self):
        few = Counter(LABELS[flat(Loader(dataset(), 9, sampler=PerGroup(9, by="label")))].tolist())
        again = Counter(LABELS[flat(Loader(dataset(), 9, sampler=PerGroup(9, by="label", replacement=True)))].tolist())
        assert (few, again) == ({0: 9, 1: 9, 2: 7}, {0: 9, 1: 9, 2: 9})

    def test_groups_stand_together_on_every_rank(self):
        for rank in range(3):
            sampler = PerGroup(4, by="label", together=True)
            (batch,) = Loader(dataset(), 4, sampler=sampler, rank=rank, world_size=3)
            assert len(set(batch["label"].tolist())) == 1

    def test_refuses_groups_that_are_too_small_to_stand_together(self):
        with pytest.raises(DataError, match="group 2 has 7 rows, and 9 stand together"):
            Loader(dataset(), 9, sampler=PerGroup(9, by="label", together=True))


class TestBucketed:
    @pytest.mark.parametrize("world", [1, 3])
    @pytest.mark.parametrize("drop", [False, True])
    def test_padding_and_samples_stay_below_their_caps(self, world: int, drop: bool):
        sampler = Bucketed(LENGTHS, max_padding=0.15, max_samples=1500)
        seen: Counter[int] = Counter()
        for rank in range(world):
            loader = Loader(
                SignalDataset(table(LENGTHS)), 8, sampler=sampler, rank=rank, world_size=world, drop_last=drop
            )
            for batch in rows(loader):
                lengths = LENGTHS[batch]
                assert len(batch) <= 8
                assert len(batch) * lengths.max() <= 1500
                assert 1 - lengths.sum() / (len(batch) * lengths.max()) <= 0.15
                seen.update(batch)
        if not drop:
            assert set(seen) == set(range(len(LENGTHS)))

    def test_lists_are_padded_less(self, tmp_path: Path):
        import pyarrow as pa

        lists = pa.table({"x": [np.ones(n, "float32") for n in LENGTHS], "row": np.arange(len(LENGTHS))})
        for source in (lists, tmp_path / "lists.parquet"):
            if isinstance(source, Path):
                import pyarrow.parquet as pq

                pq.write_table(lists, source)
            loader = Loader(SignalDataset(source, ragged="pad"), 8, sampler=Bucketed(max_padding=0.1))
            share = 0
            for batch in loader:
                assert batch["x"].shape[1] == batch["x_length"].max()
                share = max(share, 1 - batch["x"].sum() / batch["x"].numel())
            assert share <= 0.1

    def test_unshuffled_it_goes_from_long_to_short(self):
        loader = Loader(SignalDataset(table(LENGTHS)), 8, sampler=Bucketed("label", shuffle=False))
        longest = [LENGTHS[batch].max() for batch in rows(loader)]
        assert longest[0] == LENGTHS.max()
        rowwise = loader.sampler
        whole = [row for batch in rows(loader) for row in batch]
        next(iter(rowwise))
        resumed = Loader(SignalDataset(table(LENGTHS)), 8, sampler=Bucketed("label", shuffle=False)).sampler
        resumed.load_state_dict(rowwise.state_dict())
        assert list(resumed) == whole[1:]

    def test_refuses_rows_that_no_batch_can_hold(self):
        with pytest.raises(DataError, match="more than max_samples=100"):
            Loader(SignalDataset(table(LENGTHS)), 8, sampler=Bucketed("label", max_samples=100))
        with pytest.raises(DataError, match="one column of lists"):
            Loader(SignalDataset(table()), 8, sampler=Bucketed())
        with pytest.raises(ValueError, match="max_padding"):
            Bucketed(max_padding=1.0)


class TestMixture:
    def mixture(self, **options: Any) -> Mixture:
        parts = [
            SignalDataset(table(np.full(n, k)), Compose([Scale(scale=float(k + 1), keys="x"), noisy]))
            for k, n in enumerate((30, 200, 5))
        ]
        return Mixture(dict(zip(parts, (0.5, 0.3, 0.2), strict=True)), **options)

    @pytest.mark.parametrize("replacement", [True, False])
    def test_shares_are_exact_in_an_epoch_and_nearly_so_in_a_batch(self, replacement: bool):
        mixture = self.mixture(replacement=replacement, num_samples=None if replacement else 20)
        loader = Loader(mixture, 10, seed=3)
        for _ in range(2):
            labels = [batch["label"].tolist() for batch in loader]
            counts = Counter(label for batch in labels for label in batch)
            rows = mixture.num_samples
            assert [counts[k] for k in range(3)] == ([118, 70, 47] if replacement else [10, 6, 4])
            assert sum(counts.values()) == rows
            assert all(abs(batch.count(0) - len(batch) / 2) <= 3 for batch in labels)

    def test_no_row_comes_twice_where_that_is_promised(self):
        mixture = self.mixture(replacement=False)
        loader = Loader(mixture, 7, seed=1)
        assert mixture.num_samples == 27  # a fifth, rounded, are the 5 of the last
        for _ in range(3):
            seen = [(k, r) for b in loader for k, r in zip(b["label"].tolist(), b["row"].tolist(), strict=True)]
            assert len(seen) == len(set(seen)) == 27

    def test_batches_are_stacked_samples_for_any_workers_and_resume(self):
        mixture = self.mixture()
        expected = list(Loader(mixture, 16, seed=5, threads=0))
        numbers = list(Loader(mixture, 16, seed=5).batch_sampler)
        for options in ({"threads": 2}, {"num_workers": 1}, {"num_workers": 4}):
            loader = Loader(self.mixture(), 16, seed=5, **options)
            for one, other in zip(loader, expected, strict=True):
                assert {name: value.tolist() for name, value in one.items()} == {
                    name: value.tolist() for name, value in other.items()
                }
            loader.close()
        samples = mixture.samples(numbers[0])
        assert [float(sample["x"]) for sample in samples] == expected[0]["x"].tolist()
        first, second = Loader(mixture, 16, seed=5), Loader(self.mixture(), 16, seed=5)
        list(islice(first, 3))
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert [b["drawn"].tolist() for b in second] == [b["drawn"].tolist() for b in expected[3:]]

    def test_rows_of_two_datasets_draw_other_numbers(self):
        twins = [SignalDataset(table(np.zeros(4)), noisy) for _ in range(2)]
        drawn = [int(v) for batch in Loader(Mixture([(one, 1) for one in twins]), 4) for v in batch["drawn"]]
        assert len(set(drawn)) == 8

    def test_ranks_share_it(self):
        shares = [
            [v for b in Loader(self.mixture(), 8, rank=rank, world_size=2, uneven="drop") for v in b["drawn"].tolist()]
            for rank in range(2)
        ]
        whole = Counter(v for b in Loader(self.mixture(), 8) for v in b["drawn"].tolist())
        assert not Counter(shares[0] + shares[1]) - whole

    def test_is_a_map_style_dataset(self):
        mixture = self.mixture()
        theirs = DataLoader(mixture, batch_sampler=Loader(mixture, 16).batch_sampler, collate_fn=collate)
        ours = Loader(mixture, 16)
        assert [b["x"].tolist() for b in theirs] == [b["x"].tolist() for b in ours]

    def test_of_windows_and_rows_of_unequal_length(self):
        import pyarrow as pa

        recordings = of_arrays(np.random.default_rng(0).standard_normal((1, 600)))
        windows = SignalDataset(recordings, Compose([Window(length=50), Gain(db=(-6, 6), keys="signal")]))
        batches = list(Loader(Mixture([(windows, 0.5), (windows.split((0.5, 0.5), by="time")[1], 0.5)]), 6))
        assert all(batch["signal"].shape[1:] == (1, 50) for batch in batches)
        short, long = (
            SignalDataset(pa.table({"x": [np.ones(n + k) for k in range(4)]}), ragged="pad") for n in (5, 50)
        )
        batch = next(iter(Loader(Mixture([(short, 1), (long, 1)]), 8)))
        assert sorted(batch["x"].sum(1).tolist()) == sorted(batch["x_length"].tolist()) == [5, 6, 7, 8, 50, 51, 52, 53]

    def test_refuses_what_makes_none(self):
        one = SignalDataset(table())
        with pytest.raises(ValueError, match="finite and above 0"):
            Mixture({one: 0.0})
        with pytest.raises(TypeError, match="needs SignalDatasets"):
            Mixture([(table(), 1.0)])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="datasets and their weights"):
            Mixture([])
        with pytest.raises(DataError, match="without replacement"):
            Mixture({one: 1.0}, replacement=False, num_samples=1000)
        with pytest.raises(ValueError, match="leave the sampler out"):
            Loader(Mixture({one: 1.0}), 4, sampler=Balanced("label"))
        with pytest.raises(ValueError, match="in the place of the dataset"):
            Loader(one, 4, sampler=Mixture({one: 1.0}))
        other = SignalDataset({"y": np.arange(3)})
        with pytest.raises(DataError, match="another structure"):
            list(Loader(Mixture({one: 1.0, other: 1.0}), 16))


class TestTorchSamplers:
    def test_of_distributed_training(self):
        shares = []
        for rank in range(2):
            theirs = torch.utils.data.DistributedSampler(range(58), num_replicas=2, rank=rank, seed=1)
            loader = Loader(dataset(), 6, sampler=theirs)
            epochs = [flat(loader), flat(loader)]
            theirs.set_epoch(1)
            assert epochs[1] == list(theirs)
            shares += epochs[0]
        assert sorted(shares) == list(range(58))
        with pytest.raises(ValueError, match="shares rows out itself"):
            Loader(dataset(), 6, sampler=theirs, world_size=2)

    def test_leaves_the_generators_as_they_were(self):
        own = torch.Generator().manual_seed(7)
        before, state = torch.random.get_rng_state(), own.get_state()
        list(Loader(dataset(), 6, sampler=torch.utils.data.RandomSampler(range(58), generator=own)))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert torch.equal(own.get_state(), state)
        assert own.initial_seed() == 7

    @pytest.mark.parametrize(
        ("sampler", "kind", "message"),
        [
            (3, TypeError, "iterable of row numbers"),
            (iter([1, 2]), TypeError, "with a length"),
            ([0, 99], IndexError, "rows 0 to 57"),
            ([0.5], TypeError, "whole numbers"),
            ([[1, 2], [3]], ValueError, "batch_size=None"),
        ],
        ids=["number", "iterator", "outside", "fraction", "batches"],
    )
    def test_refuses_others(self, sampler: Any, kind: type[Exception], message: str):
        with pytest.raises(kind, match=message):
            Loader(dataset(), 6, sampler=sampler)

    def test_batches_of_a_list(self):
        assert rows(Loader(dataset(), None, sampler=[[3, 1], [2]])) == [[3, 1], [2]]
        with pytest.raises(ValueError, match="batch_size"):
            Loader(dataset(), None)
        with pytest.raises(ValueError, match="batch_size"):
            Loader(dataset(), None, sampler=Balanced("label"))
