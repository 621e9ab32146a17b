"""The jobs of `configs/` as they are written, with results, and inputs that a test makes, in the test's own folder."""

from pathlib import Path

from bridgeflow.config import load_job

ROOT = Path(__file__).parents[2]


def placed(name, folder):
    """The job of `configs/<name>`, with `../results/` in `folder`."""
    text = (ROOT / "configs" / name).read_text()
    assert "../results/" in text
    path = folder / name
    path.write_text(text.replace("../results/", "").replace("../examples", str(ROOT / "examples")))
    return load_job(path, roots=[folder, ROOT])
