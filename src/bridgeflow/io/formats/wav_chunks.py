"""The chunks of a wav file: where the samples are and what they are, every declared size compared with the file.

Layout: Microsoft's "Multiple channel audio data and WAVE files"; RF64 and BW64, whose sizes have 64 bits, are EBU Tech
3306 and ITU-R BS.2088.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow.errors import NotSupported
from bridgeflow.io.mapped import FileBytes, unpack_at

__all__ = ["ENCODINGS", "Samples", "header", "left_justified", "parse"]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
_CODECS = {
    0x0002: "Microsoft ADPCM", 0x0005: "IBM CVSD", 0x0006: "A-law", 0x0007: "mu-law", 0x0008: "DTS",
    0x0009: "Windows Media DRM", 0x000A: "Windows Media Voice", 0x0010: "OKI ADPCM", 0x0011: "IMA ADPCM",
    0x0012: "MediaSpace ADPCM", 0x0013: "Sierra ADPCM", 0x0014: "G.723 ADPCM", 0x0015: "DigiSTD", 0x0016: "DigiFIX",
    0x0017: "Dialogic OKI ADPCM", 0x0020: "Yamaha ADPCM", 0x0021: "Sonarc", 0x0022: "TrueSpeech", 0x0031: "GSM 6.10",
    0x0032: "MSN Audio", 0x0040: "G.721 ADPCM", 0x0041: "G.728 CELP", 0x0042: "G.723.1", 0x0045: "G.726 ADPCM",
    0x0050: "MPEG", 0x0055: "MP3", 0x0064: "G.726 ADPCM", 0x0065: "G.722 ADPCM", 0x0069: "Xbox IMA ADPCM",
    0x0083: "G.729", 0x0092: "Dolby AC-3 in S/PDIF", 0x00FF: "AAC", 0x0111: "VIVO G.723",
    0x0160: "Windows Media Audio 1",
    0x0161: "Windows Media Audio 2", 0x0162: "Windows Media Audio Professional", 0x0163: "Windows Media Audio Lossless",
    0x0164: "Windows Media Audio in S/PDIF", 0x0270: "Sony ATRAC3", 0x1600: "AAC (ADTS)", 0x1601: "raw AAC",
    0x1602: "AAC (LOAS)", 0x1610: "HE-AAC", 0x2000: "Dolby AC-3", 0x2001: "DTS", 0x674F: "Ogg Vorbis",
    0x6750: "Ogg Vorbis", 0x6751: "Ogg Vorbis", 0x676F: "Ogg Vorbis", 0x6770: "Ogg Vorbis", 0x6771: "Ogg Vorbis",
    0x704F: "Opus", 0xA109: "Speex", 0xF1AC: "FLAC",
}  # fmt: skip
"""Numbers of the codecs that are met, as RFC 2361 and Microsoft's mmreg.h have them."""

ENCODINGS = {"uint8": (PCM, 8), "int16": (PCM, 16), "int24": (PCM, 24), "int32": (PCM, 32)}
ENCODINGS |= {"float32": (FLOAT, 32), "float64": (FLOAT, 64)}
"""What a sample can be: the format's tag and bits. A wav's 8 bits are unsigned, all other integers signed."""

_UNSET = 0xFFFFFFFF
RIFF_LIMIT = 0xFFFFFFFE
"""Most bytes that a 32-bit size says; files beyond it become RF64."""

_ALIGNED = 16
_MAX_CHUNKS = 10_000
_DS64 = struct.Struct("<4sIQQQI")


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of a file.

    Attributes:
        encoding: a word of `ENCODINGS`.
        rate: sampling rate in Hz.
        channels: samples per frame; frames: how many there are.
        begin: the byte where the first one begins.
    """

    encoding: str
    rate: int
    channels: int
    frames: int
    begin: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.channels * ENCODINGS[self.encoding][1] // 8


def parse(data: FileBytes) -> Samples:
    """Walk over the chunks.

    Raises:
        ValueError: not what a wav file may be, or a size that the file does not have.
        struct.error: the file ends within a field.
    """
    kind, size, form = unpack_at("<4sI4s", data, 0)
    if form != b"WAVE":
        raise ValueError(f"a {kind.decode('latin-1')} file of form {form!r}, not WAVE")
    wide = _Wide(data) if kind in (b"RF64", b"BW64") else None
    whole = wide.riff if wide is not None and size == _UNSET else size
    if whole + 8 != len(data):
        if wide is None and size in (0, _UNSET):
            raise ValueError(f"its size was left open ({size:#x}): it was piped, or its writer did not finish")
        what = "something follows" if whole + 8 < len(data) else "cut off"
        raise ValueError(f"it declares {whole + 8:,} bytes and has {len(data):,}: {what}")
    encoding: tuple[str, int, int] | None = None
    samples: tuple[int, int] | None = None
    for name, begin, length in _chunks(data, wide):
        if name == b"fmt ":
            if encoding is not None:
                raise ValueError("two fmt chunks")
            encoding = _encoding(data[begin : begin + length])
        elif name == b"data":
            if encoding is None or samples is not None:
                raise ValueError("two data chunks" if samples else "a data chunk before the fmt chunk that explains it")
            samples = begin, length
    if encoding is None or samples is None:
        raise ValueError(f"it has no {'fmt' if encoding is None else 'data'} chunk")
    word, rate, channels = encoding
    layout = Samples(encoding=word, rate=rate, channels=channels, frames=0, begin=samples[0])
    frames, rest = divmod(samples[1], layout.frame_bytes)
    if rest:
        raise ValueError(f"{samples[1]:,} bytes of samples are not a whole number of frames of {layout.frame_bytes}")
    return Samples(encoding=word, rate=rate, channels=channels, frames=frames, begin=samples[0])


def _is_name(name: bytes) -> bool:
    """Whether four bytes can be the name of a chunk: printable ASCII."""
    return all(0x20 <= byte < 0x7F for byte in name)


def _left_open(nbytes: int) -> NotSupported:
    """The error about a data chunk without a size: what follows it are its samples, or some of them."""
    said = f"its data chunk says a size of 0 bytes, and {nbytes:,} follow that are not chunks: its size was left open"
    return NotSupported(
        said, "it was piped, or its writer did not finish: write it again, or repair it with ffmpeg or sox"
    )


class _Wide:
    """The sizes of 64 bits that RF64 keeps in its first chunk."""

    def __init__(self, data: FileBytes) -> None:
        name, length, self.riff, self.data, _, entries = unpack_at(_DS64, data, 12)
        if name != b"ds64":
            raise ValueError("RF64 without its ds64 chunk")
        if length < 28 + 12 * entries:
            raise ValueError(f"a ds64 chunk of {length} bytes has no room for {entries} entries")
        table = data[48 : 20 + length]
        self._table = [struct.unpack_from("<4sQ", table, 12 * index) for index in range(entries)]

    def size(self, name: bytes) -> int | None:
        """The size of the next chunk of this name; `None` where the table has none."""
        if name == b"data":
            return int(self.data)
        place = next((index for index, (chunk, _) in enumerate(self._table) if chunk == name), None)
        return None if place is None else int(self._table.pop(place)[1])


def _chunks(data: FileBytes, wide: _Wide | None) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk; one of odd length is followed by a byte, which the last may lack."""
    position, count, empty = 12, 0, 0
    while position < len(data):
        name, length = unpack_at("<4sI", data, position)
        if wide is not None and length == _UNSET:
            length = wide.size(bytes(name)) or 0
        begin, count = position + 8, count + 1
        fits = _is_name(name) and begin + length <= len(data)
        if not fits and empty:
            raise _left_open(len(data) - empty)
        if not _is_name(name):
            raise ValueError(f"no chunk begins at byte {position:,}, where the one before it ends")
        if not fits:
            raise ValueError(f"the chunk {bytes(name)!r} of {length:,} bytes at byte {position} goes beyond the end")
        if count > _MAX_CHUNKS:
            raise ValueError(f"more than {_MAX_CHUNKS:,} chunks")
        yield bytes(name), begin, length
        position = begin + length
        empty = position if name == b"data" and not length else empty
        if length % 2 and position < len(data):
            position += 1


def _encoding(chunk: memoryview) -> tuple[str, int, int]:
    """Encoding, sampling rate and channels, from a fmt chunk whose fields must agree with each other.

    Raises:
        NotSupported: another codec, or PCM of a width that is not read; what follows in the chunk is the codec's own.
        ValueError: a chunk that contradicts itself.
    """
    if len(chunk) < 16:
        raise ValueError(f"a fmt chunk of {len(chunk)} bytes")
    tag, channels, rate, byte_rate, frame, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag not in (PCM, FLOAT, EXTENSIBLE):
        raise _unsupported(bits, _codec(tag))
    extra = struct.unpack_from("<H", chunk, 16)[0] if len(chunk) >= 18 else 0
    extended = tag == EXTENSIBLE
    if tag == EXTENSIBLE:
        if extra < 22 or len(chunk) < 40:
            raise ValueError("WAVE_FORMAT_EXTENSIBLE without its extension")
        valid, _, tag, tail = struct.unpack_from("<HIH14s", chunk, 18)
        if tail != _GUID_TAIL:
            guid = bytes(chunk[24:40]).hex()
            raise NotSupported(f"samples of {bits} bits of the subformat {guid}, which is neither PCM nor float")
        if tag not in (PCM, FLOAT):
            raise _unsupported(bits, _codec(tag))
        if not 0 < valid <= bits:
            raise ValueError(f"{valid} valid bits in samples of {bits}")
    if len(chunk) not in (16, 18, 40) or extra not in (0, 22) or len(chunk) != (16 if len(chunk) == 16 else 18 + extra):
        raise ValueError(f"a fmt chunk of {len(chunk)} bytes with an extension of {extra}")
    word = next((word for word, pair in ENCODINGS.items() if pair == (tag, bits)), None)
    if word is None and 0 < bits <= 64 and (extended or frame in (0, channels * -(-bits // 8))):
        raise _unsupported(bits, f"format {tag}")
    if word is None:
        raise ValueError(f"samples of {bits} bits in format {tag}; PCM and float are read")
    if not channels or not rate:
        raise ValueError(f"{channels} channels at {rate} Hz")
    if frame != channels * bits // 8 or byte_rate != rate * frame:
        raise ValueError(
            f"{channels} channels of {bits} bits at {rate} Hz, yet {frame} a frame and {byte_rate} a second"
        )
    return word, rate, channels


def _codec(tag: int) -> str:
    return _CODECS.get(tag, f"format {tag:#06x}")


def _unsupported(bits: int, codec: str) -> NotSupported:
    what = f"samples of {bits} bits in {codec}; PCM and float are read"
    return NotSupported(what, "this codec is not supported: convert it to PCM, for instance with ffmpeg or sox")


def header(samples: Samples) -> bytes:
    """All that stands before the samples; its length depends on encoding and channels alone.

    A chunk of padding keeps the place of RF64's sizes, so that only the end has to know whether they are needed;
    another lets the samples begin where they can be read in place.
    """
    tag, bits = ENCODINGS[samples.encoding]
    frame, extension = samples.frame_bytes, b""
    if samples.channels > 2:
        speakers = 0  # which is which is not known
        extension = struct.pack("<HHIH14s", 22, bits, speakers, tag, _GUID_TAIL)
    elif tag == FLOAT:
        extension = struct.pack("<H", 0)
    shown = EXTENSIBLE if samples.channels > 2 else tag
    fields = (shown, samples.channels, samples.rate, samples.rate * frame, frame, bits)
    described = struct.pack("<4sIHHIIHH", b"fmt ", 16 + len(extension), *fields) + extension
    if tag == FLOAT:
        described += struct.pack("<4sII", b"fact", 4, min(samples.frames, _UNSET))
    begin = 12 + _DS64.size + len(described) + 8
    if begin % _ALIGNED:
        fill = -(begin + 8) % _ALIGNED
        described += struct.pack("<4sI", b"JUNK", fill) + bytes(fill)
    data = samples.frames * frame
    riff = 4 + _DS64.size + len(described) + 8 + data + data % 2
    if riff > RIFF_LIMIT:
        start = struct.pack("<4sI4s", b"RF64", _UNSET, b"WAVE") + _DS64.pack(b"ds64", 28, riff, data, samples.frames, 0)
        return start + described + struct.pack("<4sI", b"data", _UNSET)
    start = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + _DS64.pack(b"JUNK", 28, 0, 0, 0, 0)
    return start + described + struct.pack("<4sI", b"data", data)


def left_justified(packed: Any) -> Any:
    """24-bit samples `[..., 3]` as int32 `[...]` whose lowest byte is 0, as `scipy.io.wavfile` reads them."""
    wide = np.zeros((*packed.shape[:-1], 4), np.uint8)
    wide[..., 1:] = packed
    return wide.view("<i4")[..., 0]
