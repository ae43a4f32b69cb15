"""The words of a sig and what each means, as `rules_data/sig_words.yaml` lists them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import Field

from safety_service.knowledge.schema import Strict, Text

Words: TypeAlias = tuple[str, ...]
SlotName: TypeAlias = Literal["morning", "noon", "evening", "night"]
UnitName: TypeAlias = Literal["{tbl}", "{cap}", "{pill}", "mg", "g", "ug", "mL"]
T = TypeVar("T")

# "b.i.d." and "p.o" are one word each; a point before a digit or inside a number belongs to it; a point that ends a
# sentence goes, and any other sign stands alone: "tab.5" is not five.
_ABBREVIATION = re.compile(r"(?<![a-z0-9.])(?:[a-z]\.){1,4}[a-z]\b\.?")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TOKEN = re.compile(r"\d+(?:,\d+)+|\d+(?:\.\d+)?|(?<![\w.])\.\d+|[^\W\d_]+|\S")
_END = re.compile(r"\.(?=[\s,;)]|$)")
_UNREAD_DIGIT = "\ufffd"
_DROPPED = dict.fromkeys(map(ord, "'\u2019"))
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")


def sig_tokens(text: str) -> Words:
    """Lower-case words, numbers and signs of `text`, in order. Never raises; no sign but an end point is lost."""
    plain = text if text.isascii() else "".join(map(_plain, text))
    plain = unicodedata.normalize("NFKC", plain).casefold().translate(_DROPPED).translate(_DASHES)
    plain = _ABBREVIATION.sub(lambda found: found[0].replace(".", ""), plain.replace("(s)", "s"))
    plain = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), plain)
    return tuple(_TOKEN.findall(_END.sub(" ", plain)))


def _plain(sign: str) -> str:
    """A vulgar fraction as "1/2"; another sign that would become a digit (as in 5²) as one that nobody reads."""
    if sign.isascii() or not sign.isnumeric():
        return sign
    kind, _, parts = unicodedata.decomposition(sign).partition(" ")
    if kind == "<fraction>":
        return f" {''.join(chr(int(part, 16)) for part in parts.split())} ".replace("\u2044", "/")
    return f" {_UNREAD_DIGIT} "


# --- the file ----------------------------------------------------------------------------------------------------


class WordSource(Strict):
    title: Text
    url: Text


class Entry(Strict):
    words: tuple[Text, ...] = Field(min_length=1)
    source: Text | None = None
    assumed: Text | None = None


class UnitEntry(Entry):
    unit: UnitName


class FrequencyEntry(Entry):
    times: int = Field(ge=1, le=24)
    hours: int = Field(ge=1, le=672)


class SlotEntry(Entry):
    slot: SlotName


class RouteEntry(Entry):
    route: Text


class SigWordsFile(Strict):
    """`sig_words.yaml`."""

    sources: dict[Text, WordSource]
    numbers: dict[Text, int]
    fractions: dict[Text, float]
    units: tuple[UnitEntry, ...]
    times: dict[Text, int]
    frequencies: tuple[FrequencyEntry, ...]
    days: tuple[Text, ...]
    weeks: tuple[Text, ...]
    slots: tuple[SlotEntry, ...]
    leads: tuple[Text, ...]
    meals: tuple[Text, ...]
    three_meals: tuple[Text, ...]
    hours: tuple[Text, ...]
    day_words: tuple[Text, ...]
    week_words: tuple[Text, ...]
    month_words: tuple[Text, ...]
    night_words: tuple[Text, ...]
    hourly: tuple[Text, ...]
    routes: tuple[RouteEntry, ...]
    verbs: tuple[Text, ...]
    as_needed: tuple[Text, ...]
    reasons: tuple[Text, ...]
    up_to: tuple[Text, ...]
    limits: tuple[Text, ...]
    daily_limits: tuple[Text, ...]
    for_: tuple[Text, ...] = Field(alias="for")
    harmless: tuple[Text, ...]
    steps: tuple[Text, ...]


# --- made ready --------------------------------------------------------------------------------------------------


class Found(NamedTuple, Generic[T]):
    """What a phrase means, the place behind it, and what had to be assumed to read it so."""

    value: T
    end: int
    assumed: Words = ()


class Phrases(Generic[T]):
    """Phrases and what each means; the longest that stands at a place is found."""

    def __init__(self, phrases: Iterable[tuple[str, T, str | None]]) -> None:
        self._by_first: dict[str, list[tuple[Words, T, Words]]] = {}
        for text, value, assumed in phrases:
            words = sig_tokens(text)
            self._by_first.setdefault(words[0], []).append((words, value, (assumed,) if assumed else ()))
        for each in self._by_first.values():
            each.sort(key=lambda entry: -len(entry[0]))

    def at(self, tokens: Words, place: int) -> Found[T] | None:
        if place >= len(tokens):
            return None
        for words, value, assumed in self._by_first.get(tokens[place], ()):
            if tokens[place : place + len(words)] == words:
                return Found(value, place + len(words), assumed)
        return None


@dataclass(frozen=True, slots=True, eq=False)  # by identity: made once for each knowledge, and a key of what was read
class SigWords:
    """All word lists of a sig."""

    numbers: Mapping[str, int]
    fractions: Mapping[str, float]
    times: Mapping[str, int]
    units: Phrases[str]
    frequencies: Phrases[tuple[int, int]]
    periods: Phrases[int]  # in hours
    slots: Phrases[str]
    leads: Phrases[None]
    meals: Phrases[bool]  # whether three a day are meant
    spans: Phrases[int]  # length of a duration word in days, a month as 0
    plain_spans: frozenset[str]  # of them those that alone, behind a number, can mean nothing else: days, weeks
    hours: Phrases[None]
    hourly: Phrases[None]
    interval_units: Phrases[int]  # in hours
    routes: Phrases[str]
    verbs: Phrases[None]
    as_needed: Phrases[None]
    reasons: frozenset[str]
    up_to: Phrases[None]
    limits: Phrases[bool]  # whether it says "a day" itself
    lasting: Phrases[None]
    harmless: Phrases[None]
    steps: frozenset[str]


def sig_words(file: SigWordsFile) -> SigWords:
    """The lists of the file, ready to be looked words up in."""
    hours = [(word, 1, None) for word in file.hours]
    days = [(word, 24, None) for word in file.day_words]
    weeks = [(word, 168, None) for word in file.week_words]
    spans = [(word, 1, None) for word in (*file.day_words, *file.night_words)]
    spans += [(word, 7, None) for word in file.week_words]
    spans += [(word, MONTH, None) for word in file.month_words]
    return SigWords(
        numbers=file.numbers,
        fractions=file.fractions,
        times=file.times,
        units=Phrases((word, each.unit, each.assumed) for each in file.units for word in each.words),
        frequencies=Phrases(
            (word, (each.times, each.hours), each.assumed) for each in file.frequencies for word in each.words
        ),
        periods=Phrases([*((word, 24, None) for word in file.days), *((word, 168, None) for word in file.weeks)]),
        slots=Phrases((word, each.slot, each.assumed) for each in file.slots for word in each.words),
        leads=_plain_list(file.leads),
        meals=Phrases((word, word in file.three_meals, None) for word in file.meals),
        spans=Phrases(spans),
        plain_spans=frozenset(w for w in (*file.day_words, *file.week_words, *file.month_words) if w.endswith("s")),
        hours=_plain_list(file.hours),
        hourly=_plain_list(file.hourly),
        interval_units=Phrases([*hours, *days, *weeks]),
        routes=Phrases((word, each.route, each.assumed) for each in file.routes for word in each.words),
        verbs=_plain_list(file.verbs),
        as_needed=_plain_list(file.as_needed),
        reasons=frozenset(word for line in file.reasons for word in sig_tokens(line)),
        up_to=_plain_list(file.up_to),
        limits=Phrases([*((w, False, None) for w in file.limits), *((w, True, None) for w in file.daily_limits)]),
        lasting=_plain_list(file.for_),
        harmless=_plain_list(file.harmless),
        steps=frozenset(file.steps),
    )


def faults(file: SigWordsFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where the lists contradict themselves: a source that is not named, a phrase with two meanings."""
    for name, entries in (
        ("units", file.units),
        ("frequencies", file.frequencies),
        ("slots", file.slots),
        ("routes", file.routes),
    ):
        seen: set[Words] = set()
        for i, entry in enumerate(entries):
            if entry.source is not None and entry.source not in file.sources:
                yield (name, i, "source"), f"no source is called {entry.source!r}"
            for text in entry.words:
                words = sig_tokens(text)
                if not words or words in seen:
                    yield (name, i, "words"), f"{text!r} is given twice, or holds no word"
                seen.add(words)


MONTH = 0  # its length in days is not one number


def _plain_list(words: Iterable[str]) -> Phrases[None]:
    return Phrases((word, None, None) for word in words)
