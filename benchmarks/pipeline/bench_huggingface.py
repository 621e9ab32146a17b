"""A Hugging Face dataset filtered batch by batch, against our own dataset over the same rows."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Race, benchmark, need, within

ROWS, BATCH, BATCHES = 1024, 64, 8


def equal_batches(ours: list[Any], theirs: list[Any]) -> None:
    """The same signals and labels, bit for bit."""
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(torch.as_tensor(one["ecg"]), torch.as_tensor(other["ecg"]))
        assert torch.as_tensor(one["label"]).tolist() == torch.as_tensor(other["label"]).tolist()


@benchmark("filtered shuffled batches [64, 8, 1024] of a Hugging Face dataset, {how}",
           how=["SignalDataset", "with_transform", "with_transform, Array2D"])  # fmt: skip
def filtered_batches(how: str) -> Race:
    from bridgeflow import SignalDataset, SignalFilter
    from bridgeflow.integrations import huggingface
    from bridgeflow.io import open_sink

    datasets = need("datasets")
    datasets.disable_progress_bars()
    rng = np.random.default_rng(0)
    columns = {"ecg": rng.standard_normal((ROWS, 8, 1024), "float32"), "label": np.arange(ROWS) % 3}
    folder = Path(tempfile.mkdtemp())
    with open_sink(folder / "rows.arrow") as sink:
        sink.write(columns)
    signal = datasets.Array2D((8, 1024), "float32") if how.endswith("Array2D") else None
    features = datasets.Features({"ecg": signal, "label": datasets.Value("int64")}) if signal is not None else None
    rows: dict[str, Any] = {"ecg": list(columns["ecg"]), "label": columns["label"]}
    datasets.Dataset.from_dict(columns if signal is None else rows, features=features).save_to_disk(folder / "hub")
    hub = datasets.load_from_disk(folder / "hub")
    butter = SignalFilter(design="butter", cutoff=20.0, fs=360.0, order=4, keys="ecg")
    own = SignalDataset(folder / "rows.arrow", butter)
    chosen = rng.permutation(ROWS)[: BATCH * BATCHES].reshape(BATCHES, BATCH).tolist()

    def ours() -> list[Any]:
        return [dataset[batch] for batch in chosen] if how != "SignalDataset" else [dataset.batch(b) for b in chosen]

    dataset: Any = SignalDataset(hub, butter) if how == "SignalDataset" else huggingface.with_transform(hub, butter)
    plain = hub.with_transform(butter)
    peers = {
        "SignalDataset over an Arrow file": lambda: [own.batch(batch) for batch in chosen],
        "the rows alone, with_format('arrow')": partial(_tables, hub.with_format("arrow"), chosen),
    }
    if how == "with_transform":
        peers["Dataset.with_transform itself, which hands over lists"] = partial(_batches, plain, chosen[:1])

    def agree(mine: list[Any], theirs: Any) -> None:
        if isinstance(theirs, list) and len(theirs) == BATCHES and isinstance(theirs[0], dict):
            equal_batches(mine, theirs)

    return Race(ours=ours, peers=peers, targets={"SignalDataset over an Arrow file": within(2)}, agree=agree)


def _tables(dataset: Any, chosen: list[list[int]]) -> list[Any]:
    return [dataset[batch] for batch in chosen]


def _batches(dataset: Any, chosen: list[list[int]]) -> list[Any]:
    """One batch: it takes as long as a hundred of ours."""
    return [dataset[batch] for batch in chosen]
