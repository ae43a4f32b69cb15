"""GitHub-flavoured markdown of text that may quote a request: nothing in it can become a link, a tag or a heading.

Clients are known to show the detail of a card as HTML, so signs with a meaning in HTML are made harmless as well.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache

_SPACE = re.compile(r"\s+")
# Signs of markdown; what would be made a link by itself; what has a meaning at the start of a line.
_SIGNS = re.compile(r"[\\`*_\[\]{}|~@]|:(?=//)|(?<=www)\.|^[#+\-=]|^\d+(?=[.)])", re.IGNORECASE)


def plain(text: str) -> str:
    """One line of text in which no sign has a meaning."""
    return html.escape(_SIGNS.sub(_harmless, _SPACE.sub(" ", text).strip()), quote=False)


@lru_cache(maxsize=4096)
def plain_words(text: str) -> str:
    """`plain` of words of the knowledge, which come again and again and hold nothing of a patient."""
    return plain(text)


def _harmless(found: re.Match[str]) -> str:
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"
