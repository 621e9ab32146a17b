"""The stages that a `SignalDataset` of recordings carries out itself; called on arrays, they refuse."""

from __future__ import annotations

from bridgeflow import EventLabels, EventWindow, RandomWindow, Transform, WholeRecording

WINDOW_STAGES: dict[str, list[Transform]] = {
    "EventLabels": [
        EventLabels(classes=("W", "N?")),
        EventLabels(classes="beat", rule="any", min_overlap=0.5, default=0, name="is_beat"),
    ],
    "EventWindow": [
        EventWindow(event="T?", start=-0.2, stop=0.8),
        EventWindow(event=("a", "b"), start=0, stop=1, keys=("ecg",)),
    ],
    "RandomWindow": [RandomWindow(length=100), RandomWindow(length="2 s", per_recording=20, keys="eeg")],
    "WholeRecording": [WholeRecording(), WholeRecording(max_length="4 s", pad="zeros")],
}
