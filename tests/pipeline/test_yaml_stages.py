"""Compose to YAML and back; stages as Hydra and Lightning spell them; torchvision's by name."""

# ruff: noqa: E501  (tables read better unbroken)

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from bridgeflow import Compose, ConfigError, Loader, Resample, Scale, SignalDataset, SignalFilter, ToNumpy, ToTensor
from bridgeflow.errors import BridgeflowError
from bridgeflow.transforms import registry
from bridgeflow.transforms.torchvision_v2 import Torchvision
from tests.transforms.augmentations import AUGMENTATIONS, MIXES
from tests.transforms.test_contracts import EXAMPLES
from tests.transforms.window_stages import WINDOW_STAGES

ALL = [one for table in (EXAMPLES, AUGMENTATIONS, MIXES, WINDOW_STAGES) for stages in table.values() for one in stages]
TORCHVISION = [
    {"torchvision.Resize": {"size": [8, 8], "interpolation": "nearest"}},
    {"torchvision.Normalize": {"mean": [0.5], "std": [0.25]}},
    {"torchvision.ToDtype": {"dtype": "float64", "scale": True}},
    {"torchvision.RandomHorizontalFlip": {"p": 0.25}},
]


@pytest.mark.parametrize("stage", ALL, ids=lambda one: type(one).__name__)
def test_every_transform_comes_back(stage):
    whole = Compose([stage])
    assert Compose.from_yaml(whole.to_yaml()) == whole
    assert (
        Compose.from_yaml(
            str(whole.to_config()["Compose"]["stages"])
            .replace("None", "null")
            .replace("True", "true")
            .replace("False", "false")
        )
        == whole
    )


@settings(max_examples=60)
@given(st.recursive(st.sampled_from(ALL), lambda inner: st.lists(inner, max_size=4).map(Compose), max_leaves=8))
def test_every_composition_comes_back(stage):
    whole = stage if isinstance(stage, Compose) else Compose([stage])
    assert Compose.from_yaml(whole.to_yaml()) == whole


@settings(max_examples=300)
@given(st.text(min_size=1, max_size=12), st.floats())
def test_odd_values_come_back_or_are_refused(text, number):
    try:
        whole = Compose([Scale(keys=(text,), scale=number)])
    except BridgeflowError:
        return
    try:
        written = whole.to_yaml()
    except ConfigError:
        assert not text.isprintable() or not np.isfinite(number)
        return
    assert Compose.from_yaml(written) == whole


def test_files_and_texts(tmp_path):
    whole = Compose([Scale(scale=0.5), ToTensor()])
    (tmp_path / "stages.yaml").write_text(whole.to_yaml())
    assert Compose.from_yaml(tmp_path / "stages.yaml") == Compose.from_yaml(str(tmp_path / "stages.yaml")) == whole
    assert Compose.from_yaml("[Scale: {scale: 0.5}, ToTensor]") == whole
    assert Compose.from_yaml("{Scale: {scale: 0.5}}") == Compose([Scale(scale=0.5)])
    assert Compose.from_yaml("- Compose: {stages: [Detach]}\n").stages[0].stages
    assert Compose([]).to_yaml() == "version: 1\ntransforms: []\n"
    with pytest.raises(ConfigError, match="is a plain callable"):
        Compose([abs]).to_yaml()
    with pytest.raises(ConfigError, match="nan has no place in a configuration"):
        Compose([ToNumpy(nulls=float("nan"))]).to_yaml()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- Scael\n", r"text:1:3: \[0\]: there is no transform 'Scael'; did you mean 'Scale'"),
        ("- Scale: {scale: x}\n", r"text:1:18: \[0\].Scale.scale: Input should be a valid number"),
        ("version: 2\ntransforms: []\n", "text:1:10: version: expected 1, got 2"),
        ("transforms: []\n", "text:1:1: the key 'version' is missing"),
        ("version: 1\n", "text:1:1: the key 'transforms' is missing"),
        ("version: 1\ntransforms: []\nsource: {}\n", "text:3:1: source: 'source' stands beside version and transforms; load_job"),
        ("- SignalFilter: {design: butter, cutoff: 20, order: 2}\n", r"text:1:3: \[0\].SignalFilter: .*fs is missing"),
        ("- !!python/object/apply:os.system [x]\n", "text:1:3: tags"),
        ("- {_target_: os.system, command: x}\n", r"text:1:14: \[0\]._target_: no registered transform is 'os.system'"),
        ("- {_target_: bridgeflow.Compose.__init__}\n", "no registered transform is"),
        ("- {_target_: [bridgeflow.Scale]}\n", "a target is the path of a registered transform"),
        ("- {_target_: bridgeflow.Scale, _partial_: true}\n", "Scale has no field '_partial_'"),
        ("- {_target_: bridgeflow.Scale, scale: x}\n", r"text:1:39: \[0\].scale: Input should be a valid number"),
        ("- {class_path: os.system, init_args: {command: x}}\n", r"text:1:16: \[0\].class_path: no registered transform"),
        ("- {class_path: bridgeflow.Scale, init_args: {scael: 1}}\n", r"text:1:46: \[0\].init_args.scael: Scale has no field 'scael'"),
        ("- {class_path: bridgeflow.Scale, init_args: [1]}\n", r"text:1:45: \[0\].init_args: expected a map of fields, got a list of 1"),
        ("- {_target_: torchvision.transforms.v2.Lambda, lambd: os.system}\n", "no registered transform is"),
        ("- torchvision.Lambda: {lambd: os.system}\n", r"text:1:3: \[0\]: there is no transform 'torchvision.Lambda'"),
        ("- torchvision.Compose: {transforms: []}\n", "there is no transform 'torchvision.Compose'"),
        ("- torchvision.functional: {}\n", "there is no transform 'torchvision.functional'"),
        ("- torchvision.Resize: {size: 8, sise: 3}\n", r"text:1:33: \[0\].torchvision.Resize.sise: .*has no field 'sise'"),
        ("- torchvision.Resize: {size: os.system}\n", r"text:1:30: \[0\].torchvision.Resize.size: size takes NoneType or Sequence or int, got 'os.system'"),
        ("- torchvision.Resize\n", r"text:1:3: \[0\].torchvision.Resize: .*needs the argument 'size'"),
        ("- torchvision.Resize: {size: 8, interpolation: cubist}\n", "interpolation takes .*, got 'cubist'"),
        ("- torchvision.ToDtype: {dtype: os}\n", r"dtype takes .*, got 'os'"),
        ("- torchvision.RandomHorizontalFlip: {p: 1.5}\n", "`p` should be"),
        ("- torchvision.GaussianNoise: {clip: os.system}\n", "clip takes"),
        ("- torchvision.RandomErasing: {p: true}\n", r"text:1:34: .*p takes float, got True"),
    ],
)  # fmt: skip
def test_mistakes_and_their_places(text, problem):
    with pytest.raises(ConfigError, match=problem):
        Compose.from_yaml(text)


def test_files_of_hydra_and_lightning():
    band = SignalFilter(design="butter", btype="bandpass", cutoff=(1, 20), order=2, fs=100)
    fields = "design: butter, btype: bandpass, cutoff: [1, 20], order: 2, fs: 100"
    expected = Compose([band, Resample(from_hz=100, to_hz=50)])
    hydra = f"_target_: bridgeflow.Compose\nstages:\n  - {{_target_: bridgeflow.SignalFilter, {fields}}}\n  - _target_: bridgeflow.transforms.Resample\n    from_hz: 100\n    to_hz: 50\n"
    lightning = f"class_path: bridgeflow.Compose\ninit_args:\n  stages:\n  - class_path: bridgeflow.transforms.signal_filter.SignalFilter\n    init_args: {{{fields}}}\n  - class_path: bridgeflow.Resample\n    init_args: {{from_hz: 100, to_hz: 50}}\n"
    for text in (hydra, lightning):
        assert Compose.from_yaml(text) == Compose([expected])


# --- torchvision ---


def test_every_name_is_one_of_torchvisions_own_classes():
    for name in registry.TORCHVISION:
        cls = getattr(v2, name.partition(".")[2])
        assert issubclass(cls, v2.Transform)
        schema = registry.lookup(name).field_schema()
        assert not any("Callable" in str(one) for one in schema["properties"].values()), name


def test_torchvisions_transforms_do_what_they_do():
    x = torch.from_numpy(np.random.default_rng(0).random((1, 6, 6), "float32"))
    whole = Compose.from_yaml(str(TORCHVISION[:3]).replace("True", "true"))
    theirs = v2.Compose(
        [
            v2.Resize([8, 8], interpolation=v2.InterpolationMode.NEAREST),
            v2.Normalize([0.5], [0.25]),
            v2.ToDtype(torch.float64, scale=True),
        ]
    )
    assert torch.equal(whole({"image": x})["image"], theirs({"image": x})["image"])
    assert whole == pickle.loads(pickle.dumps(whole))
    assert Compose.from_yaml(whole.to_yaml()) == whole
    assert Compose.from_yaml("- {_target_: torchvision.transforms.v2.CenterCrop, size: 4}\n")(x).shape == (1, 4, 4)
    assert not whole.random
    assert Compose([Torchvision(name="torchvision.RandomCrop", arguments=(("size", 3),))]).eval() == Compose([])


def test_random_ones_repeat_with_rows_and_epochs():
    flip = Compose.from_yaml("[torchvision.RandomHorizontalFlip: {p: 0.5}]")
    dataset = SignalDataset({"image": np.arange(64 * 12, dtype="float32").reshape(64, 1, 3, 4)}, flip)
    first, second = ([batch["image"] for batch in Loader(dataset, 16, seed=3, threads=threads)] for threads in (0, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert len({float(batch[0, 0, 0, 0]) for batch in first}) > 1


def test_another_class_under_a_name_is_refused(monkeypatch):
    class Resize(v2.Transform):
        pass

    monkeypatch.setattr(v2, "Resize", Resize)
    with pytest.raises(ConfigError, match=r"there is no transform 'torchvision\.Resize' in the installed torchvision"):
        Compose.from_yaml("- torchvision.Resize: {size: 8}\n")
