"""The pages that `make site` generates: the reference has every exported name, and links stay within the site."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types

import pytest

from tests.workplace import ROOT

sys.path.insert(0, str(ROOT / "docs"))
try:
    import site_pages
finally:
    sys.path.remove(str(ROOT / "docs"))

NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


REFERENCE = site_pages.reference_pages()


@pytest.mark.parametrize("package", site_pages.PACKAGES)
def test_the_reference_has_every_exported_name(package):
    text = "\n".join(site_pages.reference(package).values())
    module = importlib.import_module(package)
    names = getattr(module, "__all__", site_pages.exported(package))
    assert sorted(names) == sorted(site_pages.exported(package))
    missing = [name for name in names if f"::: {package}.{name}\n" not in text and f"[`{name}`]" not in text]
    assert not missing


def test_each_exported_name_stands_once_as_an_entry_of_the_whole_reference():
    entries = re.findall(r"^::: (\S+)$", "\n".join(REFERENCE.values()), re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == site_pages.documented_names()


@pytest.mark.parametrize("page", sorted(REFERENCE))
def test_every_page_of_the_reference_is_in_the_navigation_and_of_a_length_to_read(page):
    assert f": {page}\n" in NAVIGATION
    assert REFERENCE[page].count("\n::: ") <= 40


@pytest.mark.parametrize("package", site_pages.FAMILIES)
def test_every_family_has_names_and_each_name_its_sentence(package):
    entries = {
        page: re.findall(r"^::: (\S+)$", text, re.MULTILINE) for page, text in site_pages.reference(package).items()
    }
    assert [page for page, names in entries.items() if not names] == [site_pages.page_of(package)]
    plain = {"__version__", "DESIGNS"}  # a string and a mapping, which have no docstring of their own
    assert [
        name
        for name in site_pages.exported(package)
        if not site_pages.summary(package, name)
        and name not in plain
        and f"{package}.{name}" not in site_pages.PACKAGES
    ] == []


def test_every_public_package_has_a_page():
    inner = {"cli", "engines", "tree"}  # commands, and what others are built of
    packages = {path.parent.name for path in (ROOT / "src" / "bridgeflow").glob("*/__init__.pyi")}
    assert packages - inner <= set(site_pages.MODULES)
    public = importlib.import_module("bridgeflow")
    modules = {name for name in public.__all__ if isinstance(getattr(public, name), types.ModuleType)}
    assert modules <= set(site_pages.MODULES)


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_page_of_docs_is_in_the_navigation(page):
    assert re.search(rf": {page}$", NAVIGATION, re.MULTILINE)


def test_links_out_of_docs_become_links_of_the_site():
    text = "[a](../README.md#x) [b](time.md) [c](../examples/train_cnn.py) [d](../configs/a.yaml) [e](https://x.org)\n"
    text += "```python\n[f](../README.md)\n```"
    assert site_pages.with_site_links(text, "docs/loading.md", "loading.md") == (
        "[a](index.md#x) [b](time.md) [c](examples.md#train_cnn) [d](repository/configs/a.yaml) [e](https://x.org)\n"
        "```python\n[f](../README.md)\n```"
    )
    assert (
        site_pages.with_site_links("[r](RESULTS.md)", "benchmarks/README.md", "benchmarks/how.md") == "[r](results.md)"
    )


GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
SHOWN_BY = re.findall(r"\[(tests/[\w/]+\.py)::(\w+)\]\(\.\./([\w/]+\.py)\)", GUARANTEES)


@pytest.mark.parametrize(("file", "test", "link"), SHOWN_BY, ids=[test for _, test, _ in SHOWN_BY])
def test_a_guarantee_is_shown_by_a_test_that_exists(file, test, link):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert file == link
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_guarantee_names_its_test():
    rows = [line for line in GUARANTEES.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(SHOWN_BY) == sum(not row.startswith("| what | shown by") for row in rows) > 20


def shown_code() -> str:
    """What the pages and the examples show as code: blocks, and words between backticks."""
    texts = [page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]]
    pieces = [
        piece
        for text in texts
        for pair in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)
        for piece in pair
    ]
    return "\n".join([*pieces, *(path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py"))])


WORDS = set(re.findall(r"\w+", shown_code()))


@pytest.mark.parametrize("package", site_pages.PACKAGES)
def test_every_exported_name_is_in_a_how_to_or_an_example(package):
    assert sorted(set(site_pages.exported(package)) - WORDS) == []


def test_names_that_share_a_line_of_a_docstring_get_lines_of_their_own():
    pytest.importorskip("griffe")
    from runpy import run_path

    one_name_a_line = run_path(str(ROOT / "docs" / "site_docstrings.py"))["one_name_a_line"]
    text = "Args:\n    a: one.\n    b, c: two\n        lines.\n    d: three.\n"
    raises = "\nRaises:\n    ValueError, TypeError: no."
    lines = "Args:\n    a: one.\n    b: two\n        lines.\n    c: see `b`.\n    d: three.\n"
    assert one_name_a_line(text + raises) == lines + raises
