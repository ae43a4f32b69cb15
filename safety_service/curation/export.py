"""The pages written into a folder: all of them or none, and never over something else."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from safety_service.curation.formulary import MENU, pages
from safety_service.curation.page import to_html, to_markdown
from safety_service.knowledge.knowledge import Knowledge

MARK = "EXPORTED.txt"  # tells a folder that an export made


class NotOursError(Exception):
    """The folder holds something that no export wrote."""


def export(knowledge: Knowledge, folder: Path) -> tuple[str, ...]:
    """Writes every page as Markdown and as HTML; returns the names of the files.

    An earlier export is replaced as a whole. Raises NotOursError when the folder holds anything else, and OSError.
    """
    if folder.exists() and not folder.is_dir():
        raise NotOursError(f"{folder} is not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise NotOursError(f"{folder} holds something that is no export; give an empty or a new folder")
    files = {MARK: f"Made by safety-service knowledge export from knowledge {knowledge.version}, {knowledge.digest}.\n"}
    for page in pages(knowledge):
        files[f"{page.name}.md"] = to_markdown(page)
        files[f"{page.name}.html"] = to_html(page, MENU)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8")
        new.chmod(0o755)  # a temporary folder is its owner's alone
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return tuple(files)
