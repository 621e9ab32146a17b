"""Hooks of `mkdocs build`: the pages that are generated, and links out of `docs/` turned into links of the site.

Pages of the repository outside `docs/` (README, CONTRIBUTING, benchmarks) and the scripts of `examples/` become pages;
other files that a page links to are copied beside them. The reference has a page for each public package, or, where
that would be long, one for each family of its names, and an entry for each name that the package exports. The build
fails where an exported name is missing from its index.
"""

from __future__ import annotations

import ast
import posixpath
import re
import zlib
from functools import cache
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
INTEGRATIONS = tuple(
    f"bridgeflow.integrations.{path.stem}"
    for path in sorted((ROOT / "src" / "bridgeflow" / "integrations").glob("[!_]*.py"))
)
PACKAGES = ("bridgeflow", *(f"bridgeflow.{module}" for module in MODULES), *INTEGRATIONS)
FAMILIES: dict[str, dict[str, tuple[str, str]]] = {
    "bridgeflow": {
        "conversions": (
            "Conversions and element types",
            "bridge spec transforms.to_ transforms.cast transforms.clone transforms.detach "
            "transforms.scale transforms.shared_view",
        ),
        "filters": (
            "Filters and resampling",
            "transforms.signal_filter transforms.filter_bank transforms.smooth "
            "transforms.resample transforms.scipy_call",
        ),
        "features": (
            "Spectra and features",
            "transforms.spectral transforms.features transforms.analytic transforms.peak_rate ",
        ),
        "windows": ("Windows", "transforms.window transforms.recording_windows"),
        "normalisation": (
            "Normalisation",
            "transforms.normalize transforms.standardize transforms.running_standardize pipeline.fitting",
        ),
        "channels": ("Channels", "transforms.channels"),
        "augmentation": ("Augmentation and randomness", "transforms.augment randomness"),
        "pipelines": (
            "Pipelines",
            "transforms pipeline.compose pipeline.training pipeline.onnx_export pipeline.streams",
        ),
        "recording_files": ("Recordings", "recordings io"),
        "loading": ("Datasets and batches", "pipeline"),
        "jobs": ("Jobs", "config engines"),
        "top": ("Errors, version, integrations", ""),
    },
    "bridgeflow.signal": {
        "designs": ("Filter designs", "design"),
        "filtering": ("Filtering", "iir fir causal zero_phase transfer convenience streams savgol medians"),
        "spectra": ("Spectra", "spectral analytic peaks trends"),
        "resampling": ("Resampling, convolution, windows", ""),
    },
}
"""Families of the names of large packages: page, title, and beginnings of the modules that define them; first fit."""
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


@cache
def tree_of(file: Path) -> ast.Module:
    """The syntax tree of a file of `src`."""
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def exported(package: str) -> list[str]:
    """The names that a package exports, out of `__all__` in its stub, or in the module itself."""
    place = ROOT / "src" / package.replace(".", "/")
    file = place / "__init__.pyi" if place.is_dir() else place.with_suffix(".py")
    tree = tree_of(file)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


@cache
def origins(package: str) -> dict[str, str]:
    """Where each name that a package re-exports is defined or re-exported from, as its stub says."""
    place = ROOT / "src" / package.replace(".", "/")
    if not place.is_dir():
        return {}
    places: dict[str, str] = {}
    for node in tree_of(place / "__init__.pyi").body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*base, *filter(None, [node.module])])
            places |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return places


@cache
def definition(package: str, name: str) -> str:
    """The module that defines an exported name, followed through the stubs of packages: `module.name`."""
    origin = origins(package).get(name)
    if origin in (None, f"{package}.{name}"):
        return f"{package}.{name}"
    module, _, own = origin.rpartition(".")
    return definition(module, own)


def summary(package: str, name: str) -> str:
    """The first sentence of an exported name's docstring."""
    module, _, own = definition(package, name).rpartition(".")
    place = ROOT / "src" / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    for node in tree_of(file).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == own:
            first = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            if first:  # the overloads of a function have none
                return re.split(r"(?<=[.:])\s", first, maxsplit=1)[0].rstrip(".:")
    return ""


def family(package: str, name: str) -> str:
    """Which page of a package with families an exported name stands on."""
    place = definition(package, name).removeprefix(f"{package}.")
    return next(
        page for page, (_, begins) in FAMILIES[package].items() if place.startswith(tuple(begins.split()) or ("",))
    )


def page_of(package: str) -> str:
    """The file of a package's page; integrations share one."""
    last = "integrations" if package in INTEGRATIONS else package.rpartition(".")[2]
    return f"reference/{last}.md"


def reference(package: str) -> dict[str, str]:
    """The pages of a package in the reference. A name that `bridgeflow` exports stands there; others link to it."""
    top = {definition("bridgeflow", name): name for name in exported("bridgeflow")}
    title = [f"# {package}", "", f"`from {package} import ...`", ""]
    own: list[str] = []
    elsewhere: list[str] = []
    for name in exported(package):
        place = definition(package, name)
        if place in PACKAGES:
            elsewhere.append(f"[`{name}`]({posixpath.basename(page_of(place))})")
        elif package != "bridgeflow" and place in top:
            elsewhere.append(f"[`{name}`][bridgeflow.{top[place]}]")
        else:
            own.append(name)
    if elsewhere:
        title += ["On pages of their own, or of `bridgeflow`: " + ", ".join(elsewhere) + ".", ""]
    if package not in FAMILIES:
        return {page_of(package): "\n".join(title + [f"::: {package}.{name}\n" for name in own])}
    pages = {}
    stem = page_of(package).removesuffix(".md")
    for page, (heading, _) in FAMILIES[package].items():
        names = [name for name in own if family(package, name) == page]
        lines = [f"# {heading}", "", f"`from {package} import ...`", ""]
        pages[f"{stem}_{page}.md"] = "\n".join(lines + [f"::: {package}.{name}\n" for name in names])
        title += [f"## [{heading}]({posixpath.basename(stem)}_{page}.md)", "", "| | |", "| --- | --- |"]
        title += [f"| [`{name}`][{package}.{name}] | {summary(package, name)} |" for name in names] + [""]
    return {page_of(package): "\n".join(title), **pages}


def reference_pages() -> dict[str, str]:
    """Every page of the reference; the integrations' one after the other on one page."""
    pages: dict[str, str] = {}
    for package in PACKAGES:
        for page, text in reference(package).items():
            pages[page] = f"{pages[page]}\n{text}" if page in pages else text
    return pages


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

    generated = reference_pages()
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
