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


@pytest.mark.parametrize("package", site_pages.PACKAGES)
def test_the_reference_has_every_exported_name(package):
    page = site_pages.reference(package)
    assert f"reference/{package.rpartition('.')[2]}.md" in NAVIGATION
    module = importlib.import_module(package)
    names = getattr(module, "__all__", site_pages.exported(package))
    assert sorted(names) == sorted(site_pages.exported(package))
    missing = [name for name in names if f"::: {package}.{name}\n" not in page and f"[`{name}`]" not in page]
    assert not missing


def test_each_exported_name_stands_once_as_an_entry_of_the_whole_reference():
    entries = [line for package in site_pages.PACKAGES for line in site_pages.reference(package).splitlines()]
    entries = [line.removeprefix("::: ") for line in entries if line.startswith("::: ")]
    assert len(entries) == len(set(entries))
    assert set(entries) == site_pages.documented_names()


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


@pytest.mark.parametrize("package", ["bridgeflow", "bridgeflow.signal", "bridgeflow.nn", "bridgeflow.recordings"])
def test_every_exported_name_is_in_a_how_to_or_an_example(package):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    words = set(re.findall(r"\w+", "\n".join(page.read_text(encoding="utf-8") for page in pages)))
    assert sorted(set(site_pages.exported(package)) - words) == []
