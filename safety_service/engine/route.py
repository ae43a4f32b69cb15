"""Whether a drug is given by another route than the mouth."""

from __future__ import annotations

import unicodedata

from safety_service.knowledge.value_sets import plain_words
from safety_service.rules.vocabulary import EITHER, NO, YES

_ORAL = frozenset({"oral", "po", "by mouth", "per os", "orally", "per oral", "oral route", "p o", "26643006"})
_OTHER_ROUTES = frozenset(
    """intravenous iv intramuscular im injection intrathecal subcutaneous sc topical transdermal rectal pr ophthalmic
    nasal inhalation sublingual buccal vaginal epidural parenteral""".split()
)


def _has_unread(text: str) -> bool:
    """A letter or digit that `plain_words` passes over, which may be a word that turns the rest round."""
    return any(each.isalnum() and not each.isascii() for each in unicodedata.normalize("NFKD", text))


def route_not_oral(ordered: str, product: str = "") -> int:
    """YES, NO or EITHER, from the route as ordered, else from the product's; a product without one is oral."""
    if any(each.isalnum() for each in ordered):
        words = "" if _has_unread(ordered) else plain_words(ordered)
        return NO if words in _ORAL else YES if words in _OTHER_ROUTES else EITHER
    return NO if product in ("", "oral") else YES
