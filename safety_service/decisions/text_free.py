"""A drug as the engine understood it, without the words that nobody here knows: one of them may be a person's name.

A text is cut into the words of the drug dictionary, and each word that is in none is replaced by a made-up one. What
comes out is kept only if it is recognised as the very same drug; otherwise the record says that it is not whole.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from safety_service.domain import Coding, Medication
from safety_service.engine.history import recognised
from safety_service.engine.route import route_not_oral
from safety_service.knowledge.drug_names import RXNORM, DrugNames
from safety_service.knowledge.drug_text import strange_words
from safety_service.knowledge.drug_words import HOURS, MASS_UNITS, OTHER_UNITS, VOLUME_UNITS, tokens
from safety_service.knowledge.resolve import ATC, NDC, SNOMED, Resolution, code_key
from safety_service.knowledge.sig import read_sig
from safety_service.knowledge.sig_words import SigWords
from safety_service.knowledge.value_sets import ICD10CM, plain_words
from safety_service.knowledge.value_sets import SNOMED as SNOMED_SYSTEMS
from safety_service.rules.vocabulary import EITHER

UNKNOWN = "zzqx"  # a word of no language; further ones get a letter behind it
_UNITS = frozenset({*MASS_UNITS, *OTHER_UNITS, *VOLUME_UNITS, *HOURS, "%"})
_CODES = {
    RXNORM: re.compile(r"\d{1,8}"),
    ATC: re.compile(r"[A-Z](?:\d\d(?:[A-Z](?:[A-Z](?:\d\d)?)?)?)?"),
    SNOMED: re.compile(r"\d{6,18}"),
    NDC: re.compile(r"\d{11}"),
}
_ICD10 = re.compile(r"[A-Za-z]\d[0-9A-Za-z](?:\.?[0-9A-Za-z]{1,4})?")
_SNOMED_CODE = re.compile(r"\d{6,18}")
_PATH = re.compile(r"(?:prescription|patient|prior_overrides)[a-z_.]*(?:\[\d{1,4}\][a-z_.]*)*")
_LONGEST_NUMBER = 6
_LONGEST_BARE_NUMBER = 3  # digits; a year has four
_DATE = re.compile(r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}")
_NOBODY = Coding(UNKNOWN, UNKNOWN)
_PIECES = frozenset({"{tbl}", "{tablet}", "{cap}", "{capsule}", "{pill}", "{each}", "{packet}"})


def known_path(path: str) -> str:
    """A place in the contract; "" for places of other forms, which may hold a client's own words."""
    return path if _PATH.fullmatch(path) else ""


class TextFree(NamedTuple):
    """`written` is the medication as JSON. `whole`: the engine sees the same drug in it."""

    medication: Medication
    whole: bool
    written: orjson.Fragment


@lru_cache(maxsize=8192)
def text_free(names: DrugNames, medication: Medication) -> TextFree:
    """The drug without unknown words; remembered, since the same few drugs are asked for again and again."""
    bare = Medication(tuple([_coding(names, each) for each in medication.codings]), known_words(names, medication.text))
    whole = bare == medication or _seen(recognised(names, medication)) == _seen(recognised(names, bare))
    document: dict[str, Any] = {}
    if bare.codings:
        document["codings"] = [[each.system, each.code, each.display] for each in bare.codings]
    if bare.text:
        document["text"] = bare.text
    return TextFree(bare, whole, orjson.Fragment(orjson.dumps(document)))


def _seen(resolution: Resolution) -> tuple[object, ...]:
    """What the engine reads of a resolution, without the words it quotes."""
    r = resolution
    quoted = (bool(r.conflict), bool(r.unrecognised), bool(r.unread))
    return (r.matched_by, r.matched_on, r.ingredients, r.form, r.route, r.release, r.brand, r.classes_atc, *quoted)


def _coding(names: DrugNames, coding: Coding) -> Coding:
    system, code = code_key(coding.system, coding.code)
    shape = _CODES.get(system)
    known = names.site_code(system, code) is not None or (shape is not None and shape.fullmatch(code) is not None)
    display = known_words(names, coding.display)
    return Coding(coding.system, coding.code, display) if known else Coding(UNKNOWN, UNKNOWN, display)


def known_words(names: DrugNames, text: str) -> str:
    """The text with made-up words for those that no dictionary here holds, and without numbers that may be a date."""
    if not text.strip():
        return ""
    strange = strange_words(names, text)
    cut = tokens(text)
    if not strange and not _DATE.search(text) and all(_is_small(*each) for each in pairwise([*cut, ""])):
        return " ".join(cut)
    made_up: dict[str, str] = {}
    kept: list[str] = []
    for word, behind in pairwise([*cut, ""]):
        if word in strange:
            kept.append(made_up.setdefault(word, UNKNOWN + "".join(chr(97 + int(d)) for d in str(len(made_up)))))
        elif not _is_number(word) or (behind in _UNITS and len(word) <= _LONGEST_NUMBER):
            kept.append(word)
    return " ".join(kept) or UNKNOWN


def _is_small(word: str, behind: str) -> bool:
    """Whether this is no number of so many digits that it may be a year, a telephone or a file number."""
    most = _LONGEST_NUMBER if behind in _UNITS else _LONGEST_BARE_NUMBER
    return not _is_number(word) or len(word) <= most


def _is_number(word: str) -> bool:
    return word[:1].isdigit() or word[:1] == "."


@lru_cache(maxsize=8192)
def condition_codes(codings: tuple[Coding, ...]) -> tuple[orjson.Fragment, str, str]:
    """System and code of each coding of a condition, as JSON, without what it is called.

    What is not a code of a system that is read here is made up. Beside it the first code, as sent and as kept.
    """
    kept = [_condition_code(each) for each in codings]
    written = orjson.Fragment(orjson.dumps([[each.system, each.code] for each in kept]))
    return written, codings[0].code if codings else "", kept[0].code if kept else ""


def _condition_code(coding: Coding) -> Coding:
    system, code = coding.system.strip().lower(), coding.code.strip()
    shape = _ICD10 if system in ICD10CM else _SNOMED_CODE if system in SNOMED_SYSTEMS else None
    known = shape is not None and shape.fullmatch(code) is not None
    return Coding(system, code) if known else _NOBODY


@lru_cache(maxsize=8192)
def known_sig(words: SigWords, text: str) -> str:
    """A sig text of which every word is understood; any other is of no use to the engine, and is made up."""
    return text if not text.strip() or read_sig(words, text).usable else UNKNOWN


@lru_cache(maxsize=1024)
def known_route(route: str) -> str:
    """The words of a route that is understood; any other is made up."""
    return UNKNOWN if route_not_oral(route) == EITHER else plain_words(route)


def known_unit(unit: str) -> str:
    """A unit of UCUM. What stands in braces may be anything, and is kept only where it counts pieces."""
    return unit if unit[:1] != "{" or unit in _PIECES else f"{{{UNKNOWN}}}"
