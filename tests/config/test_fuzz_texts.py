"""Texts changed at random, through every reader of configurations, in an interpreter that watches what they do.

The seeds are cut, joined, and sprinkled with tokens that mean something to YAML or to us. Whatever comes of it, a reader
gives a job, a pipeline or stages, or a typed error; it starts no process, opens no socket, writes nothing, imports
nothing of the text's choice, and is done within a fraction of a second.
"""

# ruff: noqa: E501  (the program reads better unbroken)

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import bridgeflow
from tests.config.seeds import seeds

FUZZ = """
    import base64, json, random, sys, time, warnings
    from pathlib import Path

    warnings.simplefilter("ignore")
    import numpy, torch
    from bridgeflow import Compose
    from bridgeflow.config import parse_job, parse_pipeline
    from bridgeflow.errors import BridgeflowError

    folder, seconds, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    texts = [base64.b64decode(one) for one in json.load(sys.stdin)]
    TOKENS = [one.encode() for one in (
        "&a ", "*a", "<<: ", "!!python/name:os.system ", "---\\n", "? ", "- ", ": ", "{", "}", "[", "]", "~", "null", "true", ".nan",
        "1e400", "-1", "0", "1000000000000", "9" * 400, "'", '"', "#", "|\\n ", ">\\n ", "\\x1b[31m", "\\u202e", "\\u200b", "\\0", "$HOME", "${x}", "../",
        "/etc/passwd", "/dev/zero", "http://x", "*", "**/", "_target_: ", "class_path: ", "init_args: ", "os.system", "bridgeflow.Scale",
        "torchvision.Resize", "torchvision.Lambda", "Compose: {stages: ", "Scale: {scale: ", "Window: {length: ", "fs: ", "keys: ",
        "recordings: ", "table: ", "index: ", "group: ", "columns: ", "split: ", "loader: ", "sources: ", "version: 1\\n", "__class__: ",
    )]
    OURS = ("bridgeflow", "numpy", "scipy", "torch", "torchvision", "pyarrow", "pydantic", "wfdb", "h5py", "zarr", "obspy", "soundfile", "PIL")
    NEVER = ("subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "socket.", "shutil.", "os.remove",
             "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate", "pty.", "urllib.",
             "ftplib.", "smtplib.", "telnetlib.", "webbrowser.")
    watching, seen, text = False, [], b""

    def hook(event, args):
        if not watching:
            return
        if event.startswith(NEVER):
            seen.append(f"{event} {str(args)[:100]}")
        elif event == "open":
            mode, flags = args[1], args[2]
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & 3):
                if "__pycache__" not in str(args[0]):
                    seen.append(f"open {str(args)[:100]}")
        elif event == "import":
            root = str(args[0]).partition(".")[0]
            if root.encode() in text and root not in OURS:  # what a library imports for itself is not the text's choice
                seen.append(f"import {args[0]}")

    sys.addaudithook(hook)

    def changed(chance):
        text = chance.choice(texts)
        for _ in range(chance.choice([1, 1, 2, 4, 8])):
            at, to = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
            match chance.randrange(7):
                case 0:
                    text = text[:at] + text[to:] if to - at < len(text) // 2 else text[:at]
                case 1:
                    text = text[:at] + bytes(chance.choices(range(256), k=chance.choice([1, 3]))) + text[at:]
                case 2:
                    other = chance.choice(texts)
                    text = text[:at] + other[chance.randrange(len(other) + 1):]
                case 3:
                    text = text[:at] + text[at:to] * chance.choice([2, 3, 50]) + text[to:] if to - at < 200 else text
                case _:
                    text = text[:at] + chance.choice(TOKENS) + text[at:]
            text = text[:60_000]
        return text

    options = {"name": "x.yaml", "folder": folder, "roots": (folder,)}
    READERS = {
        "job": lambda text: parse_job(text, **options),
        "pipeline": lambda text: parse_pipeline(text, **options),
        "stages": lambda text: Compose.from_yaml("[" + text.decode("utf-8", "ignore") + "]"),
        "override": lambda text: parse_job(texts[-1], overrides=[text.decode("utf-8", "ignore")], **options),
    }
    for text in texts:  # what is imported when it is first needed
        for read in READERS.values():
            try:
                read(text)
            except BridgeflowError:
                pass
    chance, counts, slowest = random.Random(seed), {}, 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = changed(chance)
        name = chance.choice(list(READERS))
        start, seen[:] = time.process_time(), []
        watching = True
        try:
            READERS[name](text)
            outcome = "accepted"
        except BridgeflowError as error:
            outcome, said = "refused", str(error)
        except BaseException as error:
            watching = False
            print(json.dumps({"reader": name, "text": repr(text), "error": f"{type(error).__name__}: {error}"}))
            sys.exit()
        watching = False
        took = time.process_time() - start
        bad = list(seen) or (outcome == "refused" and (not said.replace(chr(10), "").isprintable() or len(said) > 4000))
        if bad or took > 2.0:
            print(json.dumps({"reader": name, "text": repr(text), "error": f"{bad} {took:.2f} s"}))
            sys.exit()
        slowest = max(slowest, took)
        counts[f"{name} {outcome}"] = counts.get(f"{name} {outcome}", 0) + 1
    print(json.dumps({"counts": counts, "slowest": slowest}))
"""


def fuzz(folder, seconds, seed):
    sources = str(Path(bridgeflow.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": sources, "SECRET": "hunter2", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FUZZ), str(folder), str(seconds), str(seed)],
        input=json.dumps([base64.b64encode(one).decode() for one in seeds()]), capture_output=True, text=True, env=environment, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in report, report
    assert list(folder.iterdir()) == []
    return report["counts"]


def test_changed_texts_for_two_seconds(tmp_path):
    counts = fuzz(tmp_path, 2, 1)
    assert sum(counts.values()) > 5, counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
def test_changed_texts_for_a_minute(tmp_path, seed, capsys):
    counts = fuzz(tmp_path, 60, seed)
    with capsys.disabled():
        print(f"\n{sum(counts.values()):,} changed texts: {counts}")
    assert sum(counts.values()) > 1000
