"""Where the fuzzing of texts begins: the corpus of strangers, the shipped configurations, and jobs of the fuzzer."""

# ruff: noqa: E501  (texts read better unbroken)

from __future__ import annotations

import json

from tests.config.test_fuzz import JOBS
from tests.config.test_strangers import BYTES, CORPUS
from tests.workplace import ROOT

SPELLED = [
    "- {_target_: bridgeflow.SignalFilter, design: butter, cutoff: 20, order: 2, fs: 100}\n",
    "- {class_path: bridgeflow.Resample, init_args: {from_hz: 100, to_hz: 50}}\n",
    "version: 1\nsources: {train: {parquet: a.parquet, fs: 1}, val: {parquet: b.parquet}}\nloader: {batch_size: 3, shuffle: exact}\n",
    "version: 1\nsource: {table: t.csv, path: file, columns: {eeg: [Fp1, 'F*'], ecg: ECG}, units: physical, missing: pad}\n"
    "split: {fractions: {train: 0.8, val: 0.2}, by: subject, stratify: label, seed: 3}\nreject: {flat: 0, events: [bad]}\n"
    "transforms: [EventWindow: {event: 'T?', start: -1, stop: 2.5}, EventLabels: {classes: [a, b]}]\n",
]


def seeds() -> list[bytes]:
    """All of them."""
    texts = [text.encode("utf-8", "surrogatepass") for text in CORPUS.values() if len(text) < 20_000]
    texts += [data for data in BYTES.values() if len(data) < 20_000]
    texts += [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))]
    texts += [json.dumps({"version": 1, **job}).encode() for job in JOBS]
    return texts + [text.encode() for text in SPELLED]
