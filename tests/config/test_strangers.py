"""Configurations from strangers: each is a typed error that names the line, quickly, and nothing happens on the way.

The corpus runs in one fresh interpreter under an audit hook, which sees every import, process, socket and file that the
loading of a configuration would touch.
"""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import bridgeflow
from bridgeflow.config import parse_job
from bridgeflow.errors import BridgeflowError, DataError

JOB = "version: 1\nsource: {parquet: in.parquet, fs: 360}\ntransforms:\n  - %s\nsink: {parquet: out.parquet}\n"
SINK = "version: 1\nsource: {parquet: in.parquet, fs: 360}\nsink: {parquet: %s}\n"
SOURCE = "version: 1\nsource: {npy: %s}\nsink: {npy: out.npy}\n"
RECORDINGS = "version: 1\nsource: {%s}\ntransforms: [Window: {length: 9}]\nsink: {arrow: out/}\n"

CORPUS = {
    # names that would be code somewhere else
    "dotted name": JOB % "os.system: {command: touch pwned}",
    "class path": JOB % "{class_path: os.system, init_args: {command: touch pwned}}",
    "target": JOB % "{_target_: os.system, command: touch pwned}",
    "target in fields": JOB % "Scale: {_target_: os.system}",
    "method": JOB % "pathlib.Path.write_text: {self: pwned, data: x}",
    "dunder": JOB % "__import__: {name: os}",
    "dunder field": JOB % "Scale: {__class__: x}",
    "dunder attribute": JOB % "Scale.__init__: {}",
    "builtin": JOB % "eval: {source: 1}",
    "private": JOB % "_Loader",
    "base class": JOB % "Transform",
    "leaf base class": JOB % "LeafTransform",
    "torchvision": JOB % "torchvision.transforms.v2.Lambda: {function: x}",
    "dollar name": JOB % "$Scale",
    "interpolated name": JOB % "${oc.env:SECRET}",
    "interpolated value": JOB % "Scale: {scale: '${oc.env:SECRET}'}",
    "eval string": JOB % "Scale: {scale: '1/200'}",
    "eval call": JOB % 'Scale: {scale: \'__import__("os").system("touch pwned")\'}',
    "jinja": JOB % "Scale: {scale: '{{ 7 * 7 }}'}",
    "fstring": JOB % "Scale: {keys: ['{0.__class__}', '[']}",
    "tag": JOB % "!!python/object/apply:os.system [touch pwned]",
    "tag on a field": JOB % "Scale: {scale: !!python/name:os.system }",
    "tag new": JOB % "!!python/object/new:subprocess.Popen [[touch, pwned]]",
    "local tag": JOB % "!Scale {scale: 1}",
    "binary": JOB % "Scale: {scale: !!binary aGk=}",
    "alias": JOB % "&a Scale: *a",
    "merge": JOB % "Scale: {<<: {scale: 1}}",
    "duplicate": JOB % "Scale: {scale: 1, scale: 2}",
    "target builtin": JOB % "{_target_: builtins.eval, source: 1}",
    "target method": JOB % "{_target_: bridgeflow.Scale.from_config, config: x}",
    "target module": JOB % "{_target_: bridgeflow.transforms.registry.lookup, name: Scale}",
    "target list": JOB % "{_target_: [os, system]}",
    "target partial": JOB % "{_target_: bridgeflow.Scale, _partial_: true}",
    "class path builtin": JOB % "{class_path: subprocess.Popen, init_args: {args: [touch, pwned]}}",
    "class path attribute": JOB % "{class_path: bridgeflow.Scale.__init__}",
    "torchvision lambda": JOB % "torchvision.Lambda: {lambd: os.system}",
    "torchvision compose": JOB % "torchvision.Compose: {transforms: [os.system]}",
    "torchvision module": JOB % "torchvision.functional.to_tensor: {}",
    "torchvision target": JOB % "{_target_: torchvision.transforms.v2.Lambda, lambd: os.system}",
    "plugin by file": "plugins: [pwned]\n" + JOB % "Clone",
    "entry point": JOB % "{plugin: pwned}",
    "alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "self alias": "a: &a [*a]\n",
    "merge bomb": "a: &a {x: 1}\nb: &b {<<: [*a, *a, *a]}\nc: {<<: [*b, *b, *b]}\n",
    "merge key": "version: 1\n<<: {source: {npy: a.npy}}\n",
    "tag set": JOB % "Scale: {scale: !!set {1, 2}}",
    "tag timestamp": JOB % "Scale: {scale: !!timestamp 2001-01-01}",
    "tag module": JOB % "!!python/module:os",
    "tag object": JOB % "!!python/object:os.system {}",
    "directive": "%TAG ! tag:yaml.org,2002:python/\n---\n" + JOB % "Clone",
    # recordings
    "recordings home": RECORDINGS % "recordings: ~/x.edf",
    "recordings variable": RECORDINGS % "recordings: $HOME/x.edf",
    "recordings parent": RECORDINGS % "recordings: ../x.edf",
    "recordings absolute": RECORDINGS % "recordings: [/etc/passwd]",
    "recordings url": RECORDINGS % "recordings: http://127.0.0.1:9/x.edf",
    "recordings device": RECORDINGS % "recordings: /dev/zero",
    "recordings link": RECORDINGS % "recordings: way_out/x.edf",
    "recordings nul": RECORDINGS % 'recordings: "a\\0b"',
    "table url": RECORDINGS % "table: s3://bucket/x.csv",
    "table pattern": RECORDINGS % "table: '*.csv'",
    "root beyond": RECORDINGS % "table: x.csv, root: /",
    "group bomb": RECORDINGS % "recordings: x.edf, group: '(?P<a>(x+x+)+y)'",
    "group backtracking": RECORDINGS % "recordings: x.edf, group: '(?P<a>.*)(.*)(.*)(.*)(.*)y'",
    "group deep": RECORDINGS % f"recordings: x.edf, group: '{'(' * 95}{')' * 95}'",
    "group huge": RECORDINGS % "recordings: x.edf, group: '(?P<a>x{1000000})'",
    "group code": RECORDINGS % "recordings: x.edf, group: '(?{os.system})'",
    "huge states": RECORDINGS % "recordings: x.edf, state_nbytes: 1000000000000000",
    "cache by file": RECORDINGS % "recordings: x.edf, cache: /tmp/pwned",
    "regrid infinite": RECORDINGS % "recordings: x.edf, time: t, regrid: {to_hz: 1e300}",
    "columns dunder": RECORDINGS % "recordings: x.edf, columns: {__class__: 3}",
    "event window": JOB % "EventWindow: {event: x, start: .nan, stop: 1}",
    "zero window": JOB % "Window: {length: 0}",
    "negative window": JOB % "Window: {length: -5}",
    "huge window": JOB % "Window: {length: 1000000000000}",
    "float window": JOB % "Window: {length: 1.5}",
    "octal as text": JOB % "Window: {length: '010'}",
    "no as length": JOB % "Window: {length: no}",
    # numbers
    "nan": JOB % "Scale: {scale: .nan}",
    "nan text": JOB % "Scale: {scale: nan}",
    "infinity": JOB % "Scale: {scale: .inf}",
    "overflow": JOB % "Scale: {scale: 1e400}",
    "5,000 digits": JOB % f"Scale: {{scale: {'9' * 5000}}}",
    "sexagesimal": JOB % "Scale: {scale: 1:30:00}",
    "underscore": JOB % "Scale: {scale: 1_000}",
    "boolean": JOB % "Scale: {scale: yes}",
    "boolean number": JOB % "Scale: {scale: true}",
    "date": JOB % "Scale: {scale: 2001-01-01}",
    "null": JOB % "Scale: {scale: null}",
    "list": JOB % "Scale: {scale: [1]}",
    "map": JOB % "Scale: {scale: {a: 1}}",
    "negative order": JOB % "SignalFilter: {design: butter, order: -1, cutoff: 20}",
    "order zero": JOB % "SignalFilter: {design: butter, order: 0, cutoff: 20}",
    "huge order": JOB % "SignalFilter: {design: butter, order: 1000000000000, cutoff: 20}",
    "huge taps": JOB % "SignalFilter: {design: firwin, numtaps: 1000000000000, cutoff: 20}",
    "large order": JOB % "SignalFilter: {design: butter, order: 3000, cutoff: 20}",
    "large taps": JOB % "SignalFilter: {design: firwin, numtaps: 100000001, cutoff: 20}",
    "many teeth": JOB % "SignalFilter: {design: comb, w0: 0.001, Q: 30}",
    "boolean order": JOB % "SignalFilter: {design: butter, order: true, cutoff: 20}",
    "unstable": JOB % "SignalFilter: {sos: [[1, 0, 0, 1, -3, 1]]}",
    "negative rate": "version: 1\nsource: {npy: a.npy, fs: -1}\nsink: {npy: b.npy}\n",
    "huge rate": "version: 1\nsource: {npy: a.npy, fs: 1e300}\nsink: {npy: b.npy}\n",
    # paths
    "home": SINK % "~/pwned",
    "variable": SINK % "$HOME/pwned",
    "braces": SINK % "'${HOME}/pwned'",
    "command": SINK % "$(touch pwned)",
    "parent": SINK % "../pwned",
    "absolute": SINK % "/tmp/pwned",
    "detour": SINK % "sub/../../pwned",
    "link out": SINK % "way_out/pwned",
    "url": SINK % "http://127.0.0.1:9/pwned",
    "bucket": SINK % "s3://bucket/pwned",
    "glob": SINK % "'*/*/*/*/*/*'",
    "nul": SINK % '"a\\0b"',
    "escape": SINK % '"\\e]0;pwned\\a"',
    "long": SINK % ("x" * 5000),
    "number": SINK % "5",
    "no path": SINK % "null",
    "source beyond": SOURCE % "/etc/passwd",
    "source url": SOURCE % "file:///etc/passwd",
    # keys
    "unknown key": SINK % "out.parquet, mode: w",
    "threads": "threads: 1000000000\n" + SINK % "out.parquet",
    "dunder key": "__builtins__: {}\n" + SINK % "out.parquet",
    "bidi key": "\u202eversion: 1\n",
    "zero-width key": "ver\u200bsion: 1\n",
    "escaped key": '"ver\\u200bsion": 1\n',
    "two documents": SINK % "out.parquet}\n---\n{",
    "empty": "",
    "list on top": "[1, 2]",
    "text on top": "pwned",
    "deep": "[" * 5000,
    "wide": "[" + "1," * 50_000 + "]",
    "large": "version: 1\n#" + "x" * (1 << 20),
    "large text": "a: " + "x" * ((1 << 18) - 10),
}
BYTES = {"utf-16": JOB.encode("utf-16"), "invalid": b"version: \xff\n", "latin": "µ: 1".encode("latin-1")}

WATCH = """
    import json, resource, sys, time
    from pathlib import Path

    from bridgeflow.config import parse_job
    from bridgeflow.errors import ConfigError

    WATCHED = set("open import os socket subprocess shutil ctypes pty urllib tempfile glob mmap".split())
    folder, corpus = sys.argv[1], json.load(sys.stdin)

    def load(text):
        data = text.encode("utf-8") if isinstance(text, str) else bytes(text)
        parse_job(data, name="job.yaml", folder=folder, roots=(Path(folder),))

    WARM = "version: 1\\nsource: {npy: a.npy, fs: 360}\\ntransforms:\\n  - Scale: {scale: x}\\nsink: {npy: b.npy}\\n"
    # our own modules are imported where something is first looked up in them, whoever wrote the file
    for text in (
        WARM,
        WARM.replace("Scale: {scale: x}", "SignalFilter: {design: butter, order: 2, cutoff: 20}"),
        WARM.replace("Scale: {scale: x}", "Nonsense"),
        WARM.replace("npy: a.npy", "recordings: a.npy").replace("b.npy", "b/"),
    ):
        try:
            load(text)
        except ConfigError:
            pass

    seen, watching = [], False

    def hook(event, args):
        if watching and event.partition(".")[0] in WATCHED:
            seen.append(f"{event} {str(args)[:80]}")

    sys.addaudithook(hook)

    report = {}
    for name, text in corpus.items():
        seen.clear()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        watching = True
        try:
            load(text)
            outcome = "accepted"
        except ConfigError as error:
            outcome = str(error)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        watching = False
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        report[name] = [outcome, time.process_time() - start, grown, list(seen)]
    print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "way_out").symlink_to("/tmp")
    corpus = {**CORPUS, **{name: list(data) for name, data in BYTES.items()}}
    sources = str(Path(bridgeflow.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": sources, "SECRET": "hunter2", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WATCH), str(folder)],
        input=json.dumps(corpus), capture_output=True, text=True, env=environment, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    left = [entry.name for entry in folder.iterdir()]
    return json.loads(done.stdout), left


@pytest.mark.parametrize("name", [*CORPUS, *BYTES])
def test_a_strangers_configuration(outcomes, name):
    outcome, seconds, megabytes, touched = outcomes[0][name]
    assert outcome.startswith("job.yaml:"), outcome
    assert outcome.split(":")[1].isdecimal()
    assert outcome.isprintable()
    assert len(outcome) < 1000
    assert "hunter2" not in outcome
    assert touched == []
    assert seconds < 0.2
    assert megabytes < 64


def deep_folders(folder):
    for way in ("a/b/c/d/e/f", "a/c/b/d", "b/a/c"):
        (folder / way).mkdir(parents=True, exist_ok=True)
        (folder / way / "x.txt").write_text("x")


def device(folder):
    (folder / "in.npy").symlink_to("/dev/zero")


def pipe(folder):
    os.mkfifo(folder / "in.npy")


def objects(folder):
    np.save(folder / "in.npy", np.array([{}, 1], dtype=object), allow_pickle=True)


def a_folder(folder):
    (folder / "in.npy").mkdir()


SOURCES = {
    "device": (device, "in.npy"),
    "pipe": (pipe, "in.npy"),
    "pickled objects": (objects, "in.npy"),
    "folder without files": (a_folder, "in.npy"),
    "glob bomb": (deep_folders, "**/**/**/**/**/**/**/*.npy"),
    "pattern back up": (deep_folders, "a/*/../../../*.npy"),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("form", ["npy", "recordings"])
def test_a_strangers_source(tmp_path, name, form):
    """What a path leads to is looked at when it is opened: never waited for, never read without end."""
    make, path = SOURCES[name]
    make(tmp_path)
    sink = "{npy: out.npy}" if form == "npy" else "{arrow: out/}"
    more = "" if form == "npy" else "\ntransforms: [Window: {length: 9}]"
    rate = ", fs: 100" if form == "recordings" else ""
    text = f"version: 1\nsource: {{{form}: '{path}'{rate}}}{more}\nsink: {sink}\n"
    start = time.process_time()

    def opened():
        job = parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path,))
        first = job.recordings()[0]
        return job.open(first.path).read() if form == "npy" else job.dataset[0]

    with pytest.raises(BridgeflowError, match=r"^job\.yaml:2:"):
        opened()
    assert time.process_time() - start < 1.0
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(("out", "."))) == []


@pytest.mark.parametrize("form", ["npy", "recordings"])
def test_a_link_that_is_swapped_after_the_check(tmp_path, form):
    (tmp_path / "root").mkdir()
    np.save(tmp_path / "secret.npy", np.arange(100.0))
    np.save(tmp_path / "root" / "real.npy", np.arange(100.0))
    link = tmp_path / "root" / "in.npy"
    link.symlink_to("real.npy")
    sink = "{npy: out.npy}" if form == "npy" else "{arrow: out/}"
    text = f"version: 1\nsource: {{{form}: in.npy, fs: 100}}\ntransforms: [Window: {{length: 9}}]\nsink: {sink}\n"
    job = parse_job(text.encode(), name="job.yaml", folder=tmp_path / "root", roots=(tmp_path / "root",))
    link.unlink()
    link.symlink_to("../secret.npy")
    with pytest.raises(DataError, match="lies outside of"):
        job.open() if form == "npy" else job.opened


def test_nothing_was_written(outcomes):
    assert outcomes[1] == ["way_out"]
