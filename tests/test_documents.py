"""What the documents show is run: Python blocks, YAML jobs, and `bridgeflow` commands with the output they claim.

Each document is one session of a reader: its blocks run top to bottom, in one namespace and one working directory that
holds `configs/` and `examples/` as a clone does. The blocks become one script whose line numbers are the document's, so
that a traceback points into the document.

- A `python` block runs.
- A `yaml` block with a top-level `version:` is a job and must pass `bridgeflow check`. A file name in a comment on its
  first line (`# configs/mine.yaml`) saves it there for the commands that follow.
- In a `console` block, lines that start with `$ bridgeflow` run, and what stands below them must occur in their output;
  `...` stands for anything. Other commands (`make`, `pip install`) are not run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.workplace import ROOT, furnish, run_script

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LANGUAGES = {"", "console", "cpp", "json", "mermaid", "python", "text", "toml", "yaml"}
FENCE = re.compile(r"^ {0,3}```+(?P<info>.*)$")
NEEDS = {
    "data_frames": ("pandas", "polars", "PIL"),
    "mne_obspy": ("mne", "obspy"),
    "object_stores": ("aiohttp", "fsspec"),
    "training_frameworks": ("datasets", "lightning", "sklearn", "tensordict"),
}
"""Packages without which a document is not run."""
FIRST_LINE = "from tests.workplace import check_job as _check_job, run_command as _run_command"  # in place of the title


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the index of its first line in the document, and its lines."""

    language: str
    start: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def blocks(document: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text."""
    lines = document.splitlines()
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines):
        if not (fence := FENCE.match(line)):
            continue
        if opened is None:
            opened = (fence["info"].strip(), number + 1)
        else:
            language, start = opened
            yield Block(language, start, tuple(lines[start:number]))
            opened = None
    assert opened is None, f"the block that starts on line {opened and opened[1]} is never closed"


def commands(block: Block) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The `bridgeflow` commands of a console block: index in the document; command and the lines shown below it."""
    starts = [i for i, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        command = block.lines[start].removeprefix("$ ").partition(" #")[0].rstrip()
        if command.startswith("bridgeflow "):
            yield block.start + start, (command, *block.lines[start + 1 : end])


def script_of(document: str) -> str:
    """One script that does what the document shows, every block on the lines that it has in the document."""
    script = [FIRST_LINE, *[""] * len(document.splitlines()[1:])]
    for block in blocks(document):
        if block.language == "python":
            script[block.start : block.start + len(block.lines)] = block.lines
        elif block.language == "yaml" and re.search(r"^version:", block.text, re.MULTILINE):
            script[block.start] = f"_check_job({block.text!r})"
        elif block.language == "console":
            for line, command in commands(block):
                script[line] = f"_run_command(*{command!r})"
    return "\n".join(script) + "\n"


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


SCRIPTS = {document: script_of(document.read_text(encoding="utf-8")) for document in DOCUMENTS}


RUN = [document for document, script in SCRIPTS.items() if script.strip() != FIRST_LINE]


@pytest.mark.parametrize("document", RUN, ids=relative)
def test_document_does_what_it_shows(document: Path, tmp_path: Path):
    script = written(document, tmp_path)
    run_script(script, folder=tmp_path)


def written(document: Path, tmp_path: Path) -> Path:
    """The script of a document in a reader's folder; the test is skipped where a package is missing."""
    for package in NEEDS.get(document.stem, ()):
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    script = furnish(tmp_path) / f"{document.stem}.md.py"
    script.write_text(SCRIPTS[document], encoding="utf-8")
    return script


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN, ids=relative)
def test_document_can_be_followed_again_in_the_same_folder(document: Path, tmp_path: Path):
    script = written(document, tmp_path)
    for _ in range(2):
        run_script(script, folder=tmp_path)


def test_the_readme_needs_nothing_but_the_package():
    imported = {
        name.partition(".")[0]
        for name in re.findall(r"^\s*(?:from|import) ([\w.]+)", SCRIPTS[ROOT / "README.md"], re.MULTILINE)
    }
    assert imported - {"tests"} <= {"bridgeflow", "numpy", "torch", "scipy", "pyarrow"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_no_block_escapes_being_run(document: Path):
    for block in blocks(document.read_text(encoding="utf-8")):
        assert block.language in LANGUAGES, (
            "a block marked so (bash, py, 'python no-run') would be shown without being run"
        )
        assert block.language != "console" or block.lines[0].startswith("$ "), "commands start with '$ '"


def test_blocks_keep_their_lines():
    script = script_of("# Title\n\n```python\nx = 1\n```\ntext\n```python\ny = x\n```\n").splitlines()
    assert script == [FIRST_LINE, "", "", "x = 1", "", "", "", "y = x", ""]


def test_jobs_are_checked_and_fragments_are_not():
    script = script_of("# Title\n```yaml\nversion: 1\n```\n```yaml\nkeys: [ecg]\n```\n").splitlines()
    assert script == [FIRST_LINE, "", "_check_job('version: 1\\n')", "", "", "", ""]


def test_commands_carry_what_is_shown_below_them():
    (block,) = blocks("```console\n$ bridgeflow list  # all\nScale\n...\n$ make demo\nresult\n```\n")
    assert list(commands(block)) == [(1, ("bridgeflow list", "Scale", "..."))]
