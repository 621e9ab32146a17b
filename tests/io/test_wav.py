"""wav: judged by SciPy's reader and writer and by Python's wave module; lies, every kind of them, by hand."""

import io
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from bridgeflow.errors import DataError, NotSupported
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.formats import wav_chunks

RNG = np.random.default_rng(3)
SPEECH = sorted(Path("/usr/share/sounds/alsa").glob("*.wav"))


def samples_of(dtype, frames=101, channels=1):
    shape = (frames,) if channels == 1 else (frames, channels)
    if dtype.startswith("float"):
        return RNG.normal(size=shape).astype(dtype)
    if dtype == "int24":
        return RNG.integers(-(1 << 23), 1 << 23, shape).astype("int32") * 256
    return RNG.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def written(path, values, fs=8000, **options):
    with open_sink(path, format="wav", overwrite=True, settings={"fs": fs}, **options) as sink:
        sink.write({"sound": values})
    return path


def read(path):
    with open_source(path, format="wav") as source:
        return source.fs, source.read()["values"]


DTYPES = ["uint8", "int16", "int24", "int32", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("frames", [0, 1, 2, 101])
def test_ours_is_read_by_scipy_and_by_us(tmp_path, dtype, channels, frames):
    values = samples_of(dtype, frames, channels)
    path = written(tmp_path / "a.wav", values, dtype="int24" if dtype == "int24" else None)
    assert path.stat().st_size % 2 == 0
    rate, theirs = wavfile.read(path)
    fs, ours = read(path)
    assert rate == fs == 8000
    for got in (theirs, ours):
        assert got.dtype == values.dtype
        assert np.array_equal(got, values)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_scipys_is_read_by_us(tmp_path, dtype, channels):
    values = samples_of(dtype, 101, channels)
    wavfile.write(tmp_path / "a.wav", 44100, values)
    fs, ours = read(tmp_path / "a.wav")
    assert fs == 44100
    assert ours.dtype == values.dtype
    assert np.array_equal(ours, values)


@pytest.mark.parametrize(("dtype", "width"), [("uint8", 1), ("int16", 2), ("int24", 3), ("int32", 4)])
@pytest.mark.parametrize("channels", [1, 2])
def test_pythons_wave_module_and_we_agree(tmp_path, dtype, width, channels):
    values = samples_of(dtype, 33, channels)
    raw = values.reshape(-1, 1).view(np.uint8)[:, -width:].tobytes()
    with wave.open(str(tmp_path / "theirs.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(22050)
        file.writeframes(raw)  # of odd length, and not padded
    assert np.array_equal(read(tmp_path / "theirs.wav")[1], values)
    with wave.open(str(written(tmp_path / "ours.wav", values, dtype="int24" if width == 3 else None)), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (channels, width, 33)
        assert file.readframes(33) == raw


@pytest.mark.parametrize("path", SPEECH, ids=lambda path: path.stem)
def test_recorded_speech(path):
    rate, expected = wavfile.read(path)
    with open_source(path) as source:
        assert source.fs == rate
        assert source.specs["values"].dtype == str(expected.dtype)
        assert np.array_equal(source.read()["values"], expected)
        assert np.array_equal(np.concatenate([chunk["values"] for chunk in source.chunks(10_007)]), expected)


def test_there_is_recorded_speech_to_read():
    if not SPEECH:
        pytest.skip("needs the package alsa-utils")
    assert len(SPEECH) >= 8


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_cuts_of_writers_and_readers_change_nothing(tmp_path_factory, dtype, data):
    folder = tmp_path_factory.mktemp("cuts")
    values = samples_of(dtype, 31, 2)
    word = "int24" if dtype == "int24" else None
    cuts = sorted(data.draw(st.lists(st.integers(0, 31), max_size=5)))
    with open_sink(folder / "cut.wav", settings={"fs": 8000}, dtype=word) as sink:
        for piece in np.split(values, cuts):
            sink.write({"sound": piece})
    assert (folder / "cut.wav").read_bytes() == written(folder / "whole.wav", values, dtype=word).read_bytes()
    start = data.draw(st.integers(0, 31))
    stop = data.draw(st.integers(start, 31))
    indices = data.draw(st.lists(st.integers(0, 30), max_size=9))
    with open_source(folder / "cut.wav") as source:
        for writable in (True, False):
            assert np.array_equal(source.slice(start, stop, writable=writable)["values"], values[start:stop])
        assert np.array_equal(source.take(indices)["values"], values[np.array(indices, int)])


def test_channels_by_name(tmp_path):
    values = samples_of("int16", 10, 2)
    path = written(tmp_path / "a.wav", values)
    with open_source(path, columns=["left", "right"]) as source:
        assert {name: spec.shape for name, spec in source.specs.items()} == {"left": (10,), "right": (10,)}
        for columns in (source.read(), source.slice(0, 10, writable=False), source.take(range(10))):
            assert np.array_equal(columns["left"], values[:, 0])
            assert np.array_equal(columns["right"], values[:, 1])
        columns = source.read()
        columns["left"][:] = 0
        assert np.array_equal(columns["right"], values[:, 1])
    for names in (["a", "b", "c"], ["a", "a"]):
        with pytest.raises(DataError, match="has 2 channels, got the names a, "):
            open_source(path, columns=names)
    with open_sink(tmp_path / "b.wav", settings={"fs": 8000}) as sink:
        sink.write({"left": values[:, 0], "right": values[:, 1]})
    assert (tmp_path / "b.wav").read_bytes() == path.read_bytes()


def test_24_bits_round_to_steps_of_256(tmp_path):
    top = ((1 << 23) - 1) * 256
    values = np.array([0, 127.9, 128.1, -384.5, top, 2.0**31 - 1, -(2.0**31), -(2.0**33)])
    path = tmp_path / "a.wav"
    with open_sink(path, settings={"fs": 1}, dtype="int24", on_overflow="saturate") as sink:
        sink.write({"sound": values})
    assert wavfile.read(path)[1].tolist() == [0, 0, 256, -512, top, top, -(1 << 31), -(1 << 31)]
    assert sink.saturated == 2


@pytest.mark.parametrize("fs", [None, 0.5, 360.5, 1 << 32])
def test_rates_that_a_wav_cannot_say(tmp_path, fs):
    with (
        pytest.raises(DataError, match="sampling rate"),
        open_sink(tmp_path / "a.wav", settings={} if fs is None else {"fs": fs}) as sink,
    ):
        sink.write({"sound": np.zeros(3, "int16")})


def test_what_is_no_recording(tmp_path):
    with pytest.raises(DataError, match=r"'sound': has shape \(2, 3, 4\), and a wav file holds time steps by channels"):
        written(tmp_path / "a.wav", np.zeros((2, 3, 4), "int16"))
    with pytest.raises(DataError, match="70000 channels do not fit"):
        written(tmp_path / "a.wav", np.zeros((1, 70_000), "uint8"))
    with (
        pytest.raises(DataError, match="channels of one type make a wav file, got a int16, b float32"),
        open_sink(tmp_path / "a.wav", settings={"fs": 1}) as sink,
    ):
        sink.write({"a": np.zeros(3, "int16"), "b": np.zeros(3, "float32")})


# --- by hand ----------------------------------------------------------------------------------------------------------


def chunk(name, body, size=None, pad=True):
    return struct.pack("<4sI", name, len(body) if size is None else size) + body + b"\0" * (pad and len(body) % 2)


def fmt(tag=1, channels=1, rate=8000, bits=16, frame=None, byte_rate=None, extra=b""):
    frame = channels * bits // 8 if frame is None else frame
    fields = (tag, channels, rate, rate * frame if byte_rate is None else byte_rate, frame, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields) + extra)


def extensible(tag=1, bits=24, valid=24, tail=wav_chunks._GUID_TAIL, **rest):
    return fmt(0xFFFE, bits=bits, extra=struct.pack("<HHIH", 22, valid, 3, tag) + tail, **rest)


def riff(*chunks, size=None, kind=b"RIFF", form=b"WAVE"):
    body = form + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def ds64(riff_size, data_size, frames, table=b"", entries=None):
    count = len(table) // 12 if entries is None else entries
    return chunk(b"ds64", struct.pack("<QQQI", riff_size, data_size, frames, count) + table)


BODY = np.arange(6, dtype="<i2")
DATA = chunk(b"data", BODY.tobytes())


def put(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    return tmp_path / "a.wav"


@pytest.mark.parametrize(
    "content",
    [
        riff(fmt(), DATA),
        riff(chunk(b"LIST", b"INFOIART\x04\0\0\0me\0\0"), fmt(), chunk(b"odd ", b"abc"), DATA, chunk(b"id3 ", b"xyz")),
        riff(fmt(), DATA, chunk(b"last", b"x", pad=False)),
        riff(fmt(extra=b"\0\0"), DATA),
        riff(extensible(bits=16, valid=16), DATA),
        riff(extensible(bits=16, valid=12), DATA),
        riff(ds64(92 - 8, 12, 6), fmt(), chunk(b"data", BODY.tobytes(), 0xFFFFFFFF), kind=b"RF64", size=0xFFFFFFFF),
        riff(ds64(0, 0, 0), fmt(), DATA, kind=b"BW64"),
        riff(
            ds64(128 - 8, 12, 6, b"note" + struct.pack("<Q", 4) + b"data" + struct.pack("<Q", 1)),
            fmt(),
            chunk(b"note", b"abcd", 0xFFFFFFFF),
            chunk(b"data", BODY.tobytes(), 0xFFFFFFFF),
            kind=b"RF64",
            size=0xFFFFFFFF,
        ),
    ],
    ids=["plain", "others", "last-odd", "18", "extensible", "valid-bits", "RF64", "BW64", "table"],
)
def test_what_a_wav_may_be(tmp_path, content):
    fs, values = read(put(tmp_path, content))
    assert fs == 8000
    assert np.array_equal(values, BODY)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (riff(fmt(), DATA, form=b"AVI "), "a RIFF file of form b'AVI ', not WAVE"),
        (riff(fmt(), DATA) + b"x", "something follows"),
        (riff(fmt(), DATA)[:-1], "cut off"),
        (riff(fmt(), DATA, size=0), "its size was left open"),
        (riff(fmt(), DATA, size=0xFFFFFFFF), "its size was left open"),
        (riff(fmt(), DATA, size=1 << 31), "it declares 2,147,483,656 bytes and has"),
        (riff(fmt(), chunk(b"data", BODY.tobytes(), 1 << 31)), "of 2,147,483,648 bytes at byte 36 goes beyond the end"),
        (riff(fmt(), chunk(b"data", BODY.tobytes(), 14)), "goes beyond the end"),
        (riff(fmt(), chunk(b"data", BODY.tobytes()[:-1])), "11 bytes of samples are not a whole number of frames of 2"),
        (riff(DATA), "a data chunk before the fmt chunk"),
        (riff(fmt()), "it has no data chunk"),
        (riff(chunk(b"LIST", b"")), "it has no fmt chunk"),
        (riff(fmt(), fmt(), DATA), "two fmt chunks"),
        (riff(fmt(), DATA, DATA), "two data chunks"),
        (riff(fmt(frame=4), DATA), "yet 4 a frame"),
        (riff(fmt(byte_rate=1), DATA), "and 1 a second"),
        (riff(fmt(channels=0), DATA), "0 channels at 8000 Hz"),
        (riff(fmt(rate=0), DATA), "1 channels at 0 Hz"),
        (riff(fmt(bits=12), DATA), "samples of 12 bits in format 1; PCM and float are read"),
        (riff(fmt(bits=64), DATA), "samples of 64 bits"),
        (riff(fmt(tag=3, bits=16), DATA), "samples of 16 bits in format 3"),
        (riff(fmt(tag=6, bits=8), DATA), "in A-law"),
        (riff(fmt(tag=85, bits=0), DATA), "in MP3"),
        (riff(chunk(b"fmt ", b"\0" * 14), DATA), "a fmt chunk of 14 bytes"),
        (riff(fmt(extra=b"\x16\0"), DATA), "a fmt chunk of 18 bytes with an extension of 22"),
        (riff(fmt(0xFFFE), DATA), "without its extension"),
        (riff(extensible(bits=16, valid=0), DATA), "0 valid bits"),
        (riff(extensible(bits=16, valid=17), DATA), "17 valid bits in samples of 16"),
        (riff(extensible(tail=bytes(14)), DATA), "neither PCM nor float"),
        (riff(fmt(), DATA, kind=b"RF64", size=0xFFFFFFFF), "RF64 without its ds64 chunk"),
        (
            riff(ds64(1 << 60, 12, 6), fmt(), DATA, kind=b"RF64", size=0xFFFFFFFF),
            "it declares 1,152,921,504,606,846,984",
        ),
        (
            riff(ds64(96, 1 << 60, 6), fmt(), chunk(b"data", b"", 0xFFFFFFFF) + BODY.tobytes(), kind=b"RF64"),
            "of 1,152,921,504,606,846,976 bytes",
        ),
        (riff(ds64(0, 0, 0, entries=1 << 31), fmt(), DATA, kind=b"RF64"), "has no room for 2147483648 entries"),
        (riff(fmt(), *[chunk(b"JUNK", b"")] * 10_001, DATA), "more than 10,000 chunks"),
        (riff(fmt(), DATA, b"xyz"), "cannot be read as wav"),
    ],
)
def test_lies(tmp_path, content, problem):
    with pytest.raises(DataError, match=r"a\.wav: cannot be read as wav \(.*") as caught:
        open_source(put(tmp_path, content))
    assert problem in str(caught.value)


@pytest.mark.parametrize("tag", [*wav_chunks._CODECS, 0x0000, 0x1234, 0xFFFF])
@pytest.mark.parametrize("length", [16, 18, 20, 32, 50])
def test_codecs_are_not_supported_rather_than_damaged(tmp_path, tag, length):
    described = chunk(b"fmt ", struct.pack("<HHIIHH", tag, 1, 8000, 4055, 256, 4) + bytes(range(1, length - 15)))
    name = wav_chunks._CODECS.get(tag, f"format {tag:#06x}")
    for content in (riff(described, DATA), riff(described, chunk(b"fact", bytes(4)), DATA)):
        with pytest.raises(NotSupported, match=r"samples of 4 bits in .*not supported") as caught:
            open_source(put(tmp_path, content))
        assert name in str(caught.value)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        riff(extensible(tag=6, bits=8, valid=8), DATA),
        riff(extensible(tail=bytes(range(14))), DATA),
        riff(fmt(bits=12, frame=2, byte_rate=16000), DATA),
        riff(fmt(bits=20, frame=3, byte_rate=24000), DATA),
        riff(fmt(bits=64), DATA),
        riff(fmt(3, bits=16), DATA),
        b"RIFX" + riff(fmt(), DATA)[4:],
        b"riff\x2e\x91\xcf\x11" + bytes(100),
        b"fLaC" + bytes(100),
        b"FORM" + bytes(100),
        b"OggS" + bytes(100),
    ],
    ids=["A-law", "other GUID", "12 bits", "20 bits", "64 bits", "half", "RIFX", "W64", "FLAC", "AIFF", "Ogg"],
)
def test_what_is_whole_is_not_called_damaged(tmp_path, content):
    with pytest.raises(NotSupported, match="not supported") as caught:
        open_source(put(tmp_path, content))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("samples", [bytes(8000), b"\1" * 8000, np.arange(4000, dtype="<i2").tobytes(), b"abcd" * 2000])
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"INFOISFT\x04\0\0\0Lavf")])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, None])
@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_sizes_that_were_never_filled_in_are_an_error_about_the_size(tmp_path, size, data_size, before, samples):
    content = riff(fmt(), before, chunk(b"data", samples, data_size), size=size)
    with pytest.raises(DataError, match=r"size|declares|goes beyond the end"):
        open_source(put(tmp_path, content))


@pytest.mark.parametrize("after", [b"", chunk(b"LIST", b"INFO"), chunk(b"id3 ", b"abc")])
def test_a_recording_without_samples_is_one(tmp_path, after):
    with open_source(put(tmp_path, riff(fmt(), chunk(b"data", b""), after))) as source:
        assert source.rows == 0


def test_samples_off_their_grid(tmp_path):
    """A chunk of odd length without its padding cannot be, but one of 2 bytes puts float64 on odd places."""
    values = np.arange(5.0)
    for filler in (b"", b"ab", b"abcd", b"abcdef"):
        content = riff(chunk(b"fill", filler), fmt(3, bits=64), chunk(b"data", values.tobytes()))
        with open_source(put(tmp_path, content)) as source:
            for columns in (source.read(), source.slice(0, 5, writable=False), source.take(range(5))):
                assert columns["values"].flags.aligned
                assert columns["values"].tolist() == values.tolist()


def test_beyond_4_gib(tmp_path):
    """A file of 5 GiB that takes no disk: its last frames are read, in little memory."""
    frames = 5 << 29
    layout = wav_chunks.Samples(encoding="int16", rate=48000, channels=1, frames=frames, begin=0)
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        head = file.write(wav_chunks.header(layout))
        file.seek(head + 2 * (frames - 3))
        file.write(np.array([1, 2, 3], "<i2").tobytes())
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
    with open_source(path) as source:
        assert (source.rows, source.fs) == (frames, 48000)
        assert source.slice(frames - 4, frames)["values"].tolist() == [0, 1, 2, 3]
        assert source.take([frames - 1, 0])["values"].tolist() == [3, 0]
        assert sum(len(chunk["values"]) for chunk in source.chunks(1 << 20, start=frames - (1 << 22))) == 1 << 22
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DataError, match="cut off"):
        open_source(path)


def test_what_is_written_beyond_the_limit_is_rf64(tmp_path, monkeypatch):
    values = samples_of("int16", 1000)
    short = written(tmp_path / "a.wav", values).read_bytes()
    monkeypatch.setattr(wav_chunks, "RIFF_LIMIT", len(short) - 8)
    assert written(tmp_path / "a.wav", values).read_bytes() == short
    monkeypatch.setattr(wav_chunks, "RIFF_LIMIT", len(short) - 9)
    long = written(tmp_path / "a.wav", values).read_bytes()
    assert (len(long), long[:4], long[12:16]) == (len(short), b"RF64", b"ds64")
    assert np.array_equal(read(tmp_path / "a.wav")[1], values)
    assert np.array_equal(wavfile.read(io.BytesIO(long))[1], values)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_in_the_other_byte_order_are_written(tmp_path, dtype, channels):
    values = samples_of(dtype, 33, channels)
    swapped = values.astype(np.dtype(dtype).newbyteorder(">"))
    assert written(tmp_path / "swapped.wav", swapped).read_bytes() == written(tmp_path / "a.wav", values).read_bytes()
