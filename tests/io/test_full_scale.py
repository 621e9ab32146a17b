"""Full scale, judged by SciPy's reader, by the definition of the formats, and by what a player would make of it."""

import numpy as np
import pytest
from scipy.io import wavfile

from bridgeflow import SignalDataset
from bridgeflow.engines.local import run_job
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.full_scale import from_unit, to_unit
from bridgeflow.pipeline import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from bridgeflow.transforms import Scale, SignalFilter

SCALES = {"uint8": 2**7, "int16": 2**15, "int24": 2**31, "int32": 2**31}  # 24 bits are left-justified in int32
TONE = 0.3 * np.sin(0.2 * np.arange(8000))


def unit(values, encoding):
    """By the definition of the formats."""
    if encoding.startswith("float"):
        return values.astype("float64")
    return (values.astype("float64") - (128 if encoding == "uint8" else 0)) / SCALES[encoding]


def write(path, values, **options):
    with open_sink(path, settings={"fs": 8000}, **options) as sink:
        sink.write({"v": values[:100]})
        sink.write({"v": values[100:]})
    return sink


@pytest.mark.parametrize("encoding", [*SCALES, "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8", "int8"])
def test_normalized_samples_keep_their_part_of_full_scale(tmp_path, encoding, dtype):
    values = TONE.astype(dtype) if dtype.startswith("float") else from_unit(TONE, dtype).values
    sink = write(tmp_path / "a.wav", values, dtype=encoding, normalize=True)
    step = max(2.0**-7 if "8" in (dtype[-1], encoding[-1]) else 2.0**-15, 1e-9)
    np.testing.assert_allclose(unit(wavfile.read(tmp_path / "a.wav")[1], encoding), TONE, atol=step)
    assert (sink.saturated, sink.beyond) == (0, 0)
    with open_source(tmp_path / "a.wav", normalize=True) as source:
        assert source.specs["values"].dtype == ("float64" if encoding in ("int32", "float64") else "float32")
        expected = unit(wavfile.read(tmp_path / "a.wav")[1], encoding)
        for got, rows in [
            (source.read(), slice(None)),
            (source.slice(5, 50, writable=False), slice(5, 50)),
            (source.take([7, 3, 3]), [7, 3, 3]),
        ]:
            assert got["values"].dtype == source.specs["values"].dtype
            assert np.array_equal(got["values"], expected[rows])


@pytest.mark.parametrize("encoding", [*SCALES])
def test_every_value_comes_back(tmp_path, encoding):
    """What was read as floats is written as the integers that it was."""
    info = np.iinfo("int32" if encoding == "int24" else encoding)
    rng = np.random.default_rng(0)
    counts = np.concatenate([[info.min, info.max], rng.integers(info.min, info.max, 1000, endpoint=True)])
    counts = counts.astype(info.dtype) // (256 if encoding == "int24" else 1) * (256 if encoding == "int24" else 1)
    assert np.array_equal(from_unit(to_unit(counts, encoding), encoding).values, counts)
    write(tmp_path / "a.wav", counts, dtype="int24" if encoding == "int24" else None)
    with open_source(tmp_path / "a.wav", normalize=True) as source:
        write(tmp_path / "b.wav", source.read()["values"], dtype=encoding, normalize=True)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize("encoding", SCALES)
def test_beyond_full_scale_is_refused_or_counted(tmp_path, encoding):
    values = np.array([0.5, 1.0, -1.0, 1.5, -2.0, np.inf])
    with pytest.raises(DataError, match="3 values are beyond full scale, the first in row 3"):
        write(tmp_path / "a.wav", values, dtype=encoding, normalize=True)
    assert not (tmp_path / "a.wav").exists()
    sink = write(tmp_path / "a.wav", values, dtype=encoding, normalize=True, on_overflow="saturate")
    assert sink.saturated == 3
    read = unit(wavfile.read(tmp_path / "a.wav")[1], encoding)
    np.testing.assert_allclose(read, [0.5, 1, -1, 1, -1, 1], atol=2.0**-7)


def test_nan_has_no_integer(tmp_path):
    with pytest.raises(DataError, match="1 of the values are NaN"):
        write(tmp_path / "a.wav", np.array([0.5, np.nan]), dtype="int16", normalize=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("encoding", ["int16", "int24", "int32"])
def test_floats_between_minus_1_and_1_as_counts_are_silence(tmp_path, dtype, encoding):
    with pytest.raises(DataError, match=r"silence; set `normalize: true`"):
        write(tmp_path / "a.wav", TONE.astype(dtype), dtype=encoding)
    assert not (tmp_path / "a.wav").exists()
    write(tmp_path / "a.wav", TONE.astype(dtype), dtype=encoding, normalize=False)
    assert np.abs(wavfile.read(tmp_path / "a.wav")[1]).max() <= 256


@pytest.mark.parametrize("encoding", ["int24", "int32"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_counts_of_16_bits_in_wider_samples_are_silence(tmp_path, dtype, encoding):
    counts = from_unit(TONE, "int16").values.astype(dtype)
    with pytest.raises(DataError, match="silence"):
        write(tmp_path / "a.wav", counts, dtype=encoding)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_in_a_float_file_are_counted(tmp_path, dtype):
    """A job refuses them."""
    counts = (TONE * 60000).astype(dtype)
    sink = write(tmp_path / "a.wav", counts)
    assert sink.beyond == np.count_nonzero(np.abs(counts) > 1) > 7000
    assert np.array_equal(wavfile.read(tmp_path / "a.wav")[1], counts)
    write(tmp_path / "b.wav", from_unit(TONE, "int16").values, dtype=dtype, normalize=True)
    np.testing.assert_allclose(wavfile.read(tmp_path / "b.wav")[1], TONE, atol=2.0**-15)


def test_what_lies_a_little_beyond_full_scale_is_written_and_counted(tmp_path):
    values = np.array([0.5, 1.25, -1.5, 1.0], "float32")
    assert write(tmp_path / "a.wav", values).beyond == 2
    assert np.array_equal(wavfile.read(tmp_path / "a.wav")[1], values)


def test_silence_and_counts_of_the_files_own_type_are_left_alone(tmp_path):
    for values in (np.zeros(8), np.array([0, 1, -1, 0], "int16")):
        write(tmp_path / "a.wav", values, dtype="int16", overwrite=True)
        assert np.array_equal(wavfile.read(tmp_path / "a.wav")[1], values)


@pytest.mark.parametrize("format", ["npy", "npz", "arrow", "arrow_stream", "parquet"])
def test_other_formats_have_no_full_scale(tmp_path, format):
    path = tmp_path / "a"
    with open_sink(path, format=format, dtype="int16") as sink:
        sink.write({"v": np.array([0.3, -0.7, 20000.0])})
    with open_source(path, format=format) as source:
        assert np.asarray(next(iter(source.read().values()))).tolist() == [0, -1, 20000]
    with pytest.raises(DataError, match="no full scale"):
        open_source(path, format=format, normalize=True)
    with pytest.raises(ValueError, match="no full scale"), open_sink(tmp_path / "b", format=format, normalize=True):
        pass


def job(folder, source, sink, *stages):
    return Job(
        source=JobSource(path=folder / "in.wav", **source), transform=Compose(stages), sink=sink_of(folder, sink)
    )


def sink_of(folder, options):
    return JobSink(path=folder / "out.wav", **options)


FILTER = SignalFilter(design="butter", cutoff=3000, order=2, fs=8000)


@pytest.mark.parametrize(
    ("found", "source", "sink"),
    [
        ("float32", {}, {"dtype": "int16", "normalize": True}),
        ("int16", {"normalize": True}, {}),
        ("int16", {"normalize": True}, {"dtype": "int24", "normalize": True}),
        ("uint8", {"normalize": True}, {"dtype": "int16", "normalize": True}),
        ("int16", {}, {"dtype": "int16"}),
    ],
)
def test_a_job_keeps_full_scale(tmp_path, found, source, sink):
    wavfile.write(tmp_path / "in.wav", 8000, from_unit(TONE, found).values)
    result = run_job(job(tmp_path, source, sink, Scale(scale=0.5)))
    got = wavfile.read(tmp_path / "out.wav")[1]
    encoding = sink.get("dtype", str(got.dtype))
    np.testing.assert_allclose(unit(got, encoding), TONE / 2, atol=2.0**-7 if found == "uint8" else 2.0**-14)
    assert (result.saturated, result.beyond) == (0, 0)


@pytest.mark.parametrize(
    ("found", "sink"), [("float32", {"dtype": "int16"}), ("int16", {}), ("int16", {"dtype": "int24"}), ("uint8", {})]
)
def test_a_job_that_would_lose_it_is_refused_with_the_remedy(tmp_path, found, sink):
    wavfile.write(tmp_path / "in.wav", 8000, from_unit(TONE, found).values)
    with pytest.raises(DataError, match="normalize: true"):
        run_job(job(tmp_path, {}, sink, FILTER))
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_job_writes_counts_as_floats_where_it_is_told_to(tmp_path, dtype):
    wavfile.write(tmp_path / "in.wav", 8000, from_unit(TONE, "int16").values)
    result = run_job(job(tmp_path, {}, {"dtype": dtype, "normalize": False}, Scale(scale=1.0)))
    got = wavfile.read(tmp_path / "out.wav")[1]
    assert np.array_equal(got, wavfile.read(tmp_path / "in.wav")[1])
    assert result.beyond == np.count_nonzero(np.abs(got) > 1)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_a_quiet_recording_in_its_own_counts_is_one(tmp_path, dtype):
    """Digital silence and what a filter makes of its borders: nothing has another scale than it had."""
    quiet = np.zeros(8000, dtype)
    quiet[100] = 1
    wavfile.write(tmp_path / "in.wav", 8000, quiet)
    run_job(job(tmp_path, {}, {"dtype": dtype}, FILTER))
    assert np.abs(wavfile.read(tmp_path / "out.wav")[1]).max() <= 1
    with pytest.raises(DataError, match="silence"):
        run_job(job(tmp_path, {}, {"dtype": dtype}, Scale(scale=2.0**-15)), overwrite=True)


def test_a_dataset_reads_normalized_samples(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.array([[16384, 0], [-32768, 1]], "int16"))
    dataset = SignalDataset(tmp_path / "a.wav", normalize=True, kind="numpy")
    assert dataset.batch([1, 0])["values"].tolist() == [[-1.0, 2.0**-15], [0.5, 0.0]]
    with pytest.raises(ValueError, match="chosen where a source is opened"):
        SignalDataset(open_source(tmp_path / "a.wav"), normalize=True)


@pytest.mark.parametrize("value", [1, "yes", None, 0])
def test_normalize_is_true_or_false(tmp_path, value):
    with pytest.raises(ValueError, match="normalize"):
        open_source(tmp_path / "a.wav", normalize=value)


@pytest.mark.parametrize(
    ("found", "encoding"),
    [("uint8", "int16"), ("uint8", "int24"), ("int16", "uint8"), ("int16", "int32"), ("int32", "int16")],
)
@pytest.mark.parametrize("stages", [(), (FILTER,)])
def test_a_job_refuses_counts_of_another_full_scale_before_it_reads(tmp_path, found, encoding, stages):
    """Saturated they would be noise; around 128 instead of 0, or 256 times too small, they would be next to silence."""
    wavfile.write(tmp_path / "in.wav", 8000, from_unit(TONE, found).values)
    options = {"dtype": encoding, "on_overflow": "saturate"}
    refused = job(tmp_path, {}, options, *stages)
    with open_source(tmp_path / "in.wav") as source, pytest.raises(DataError, match="normalize: true"):
        refused.plan(source)
    with pytest.raises(DataError, match="whose full scale is another"):
        run_job(refused)
    assert not (tmp_path / "out.wav").exists()
    run_job(job(tmp_path, {"normalize": True}, {**options, "normalize": True}))
    got = unit(wavfile.read(tmp_path / "out.wav")[1], encoding)
    np.testing.assert_allclose(got, TONE, atol=2.0**-6)
    run_job(job(tmp_path, {}, {**options, "normalize": False}, *stages), overwrite=True)


@pytest.mark.parametrize("encoding", ["uint8", "int16", "float32"])
def test_a_job_refuses_to_saturate_nearly_everything(tmp_path, encoding):
    np.savez(tmp_path / "in.npz", v=from_unit(TONE, "int32").values, fs=8000)
    sink = sink_of(tmp_path, {"dtype": encoding, "on_overflow": "saturate"})
    with pytest.raises(DataError, match="players clip them"):
        run_job(Job(source=JobSource(path=tmp_path / "in.npz"), transform=Compose(()), sink=sink))
    assert not (tmp_path / "out.wav").exists()
