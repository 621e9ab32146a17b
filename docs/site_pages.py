"""Hooks of `mkdocs build`: the pages that are generated, and links out of `docs/` turned into links of the site.

Pages of the repository outside `docs/` (README, CONTRIBUTING, benchmarks) and the scripts of `examples/` become pages;
other files that a page links to are copied beside them. The reference has a page for each public package, one entry for
each name that the package exports; the build fails where an exported name is missing from its index.
"""

from __future__ import annotations

import ast
import posixpath
import re
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = (
    "signal",
    "nn",
    "recordings",
    "transforms",
    "pipeline",
    "bridge",
    "memory",
    "io",
    "config",
    "plots",
    "testing",
    "errors",
)
PACKAGES = ("bridgeflow", *(f"bridgeflow.{module}" for module in MODULES))
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/how.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "examples/data/README.md": "examples_data.md",
    "examples": "examples.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
FENCE = re.compile(r"^ {0,3}```")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


def exported(package: str) -> list[str]:
    """The names that a package exports, out of `__all__` in its stub, or in the module itself."""
    place = ROOT / "src" / package.replace(".", "/")
    file = place / "__init__.pyi" if place.is_dir() else place.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def origins(package: str) -> dict[str, str]:
    """Where each name that a package re-exports is defined or re-exported from, as its stub says."""
    place = ROOT / "src" / package.replace(".", "/")
    if not place.is_dir():
        return {}
    places: dict[str, str] = {}
    for node in ast.parse((place / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*base, *filter(None, [node.module])])
            places |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return places


def definition(package: str, name: str) -> str:
    """The module that defines an exported name, followed through the stubs of packages: `module.name`."""
    origin = origins(package).get(name)
    if origin in (None, f"{package}.{name}"):
        return f"{package}.{name}"
    module, _, own = origin.rpartition(".")
    return definition(module, own)


def reference(package: str) -> str:
    """A page of the reference. A name that `bridgeflow` exports stands on its page only; others link there."""
    top = {definition("bridgeflow", name): name for name in exported("bridgeflow")}
    lines = [f"# {package}", "", f"`from {package} import ...`", ""]
    entries: list[str] = []
    elsewhere: list[str] = []
    for name in exported(package):
        place = definition(package, name)
        if place in PACKAGES:
            elsewhere.append(f"[`{name}`]({place.rpartition('.')[2]}.md)")
        elif package != "bridgeflow" and place in top:
            elsewhere.append(f"[`{name}`][bridgeflow.{top[place]}]")
        else:
            entries += [f"::: {package}.{name}", ""]
    if elsewhere:
        lines += ["On pages of their own, or of `bridgeflow`: " + ", ".join(elsewhere) + ".", ""]
    return "\n".join(lines + entries)


def documented_names() -> set[str]:
    """Every name that the index of the reference must have: all exports, each on the page where it stands."""
    top = {definition("bridgeflow", name) for name in exported("bridgeflow")}
    return {
        f"{package}.{name}"
        for package in PACKAGES
        for name in exported(package)
        if f"{package}.{name}" not in PACKAGES and (package == "bridgeflow" or definition(package, name) not in top)
    }


def examples() -> str:
    """A page with the scripts of `examples/`, each under its name."""
    lines = [
        "# Examples",
        "",
        "Each runs as it stands in a clone, after `make demo`: `.venv/bin/python examples/NAME.py`.",
        "",
    ]
    for script in sorted((ROOT / "examples").glob("*.py")):
        lines += [
            f"## {script.name} {{#{script.stem}}}",
            "",
            "```python",
            script.read_text(encoding="utf-8").rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


def site_target(path: str) -> str:
    """The page or file of the site that stands for a path in the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("examples/") and path.endswith(".py"):
        return f"examples.md#{Path(path).stem}"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def with_site_links(text: str, source: str, page: str) -> str:
    """The text of a page with its links between files of the repository as links between files of the site."""

    def replaced(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there, _, default = site_target(path).partition("#")
        link = posixpath.relpath(there, posixpath.dirname(page) or ".")
        anchor = anchor or default
        return f"]({link}{'#' + anchor if anchor else ''})"

    lines, inside = [], False
    for line in text.split("\n"):
        inside ^= bool(FENCE.match(line))
        lines.append(line if inside else LINK.sub(replaced, line))
    return "\n".join(lines)


def linked_files() -> set[str]:
    """Files of the repository outside `docs/`, other than pages, that some page links to."""
    linked = set()
    for source in [
        *(name for name in PAGES if name.endswith(".md")),
        *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    ]:
        for match in LINK.finditer((ROOT / source).read_text(encoding="utf-8")):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match["target"].partition("#")[0]))
            if (ROOT / path).is_file() and site_target(path).startswith("repository/"):
                linked.add(path)
    return linked


def on_files(files: Any, config: Any) -> Any:
    """Add what is generated."""
    from mkdocs.structure.files import File

    generated = {f"reference/{package.rpartition('.')[2]}.md": reference(package) for package in PACKAGES}
    generated["examples.md"] = examples()
    generated |= {
        page: (ROOT / source).read_text(encoding="utf-8") for source, page in PAGES.items() if source != "examples"
    }
    for page, text in generated.items():
        files.append(File.generated(config, page, content=text))
    for path in sorted(linked_files()):
        files.append(File.generated(config, f"repository/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite links, except of pages that were written for the site."""
    uri = page.file.src_uri
    if uri == "examples.md" or uri.startswith("reference/"):
        return markdown
    return with_site_links(markdown, SOURCES.get(uri, f"docs/{uri}"), uri)


def on_post_build(config: Any) -> None:
    """Compare the index of the reference with what the packages export."""
    from mkdocs.exceptions import PluginError

    content = (Path(config.site_dir) / "objects.inv").read_bytes().split(b"\n", 4)[4]
    index = {line.split(" ", 1)[0] for line in zlib.decompress(content).decode("utf-8").splitlines()}
    if missing := sorted(documented_names() - index):
        raise PluginError(f"the reference lacks exported names: {', '.join(missing)}")
