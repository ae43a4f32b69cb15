"""A sig as text ("1 tab PO TID PRN x 7 days") read into dose, frequency, days and the rest, or not read at all.

Words become clauses (a dose, how often, how long, ...), clauses become one meaning. Nothing is guessed: a word that is
not listed, a second dose, two clauses that disagree, or a sign of more than one step make the confidence LOW, and a
LOW sig is for people to read. What a reader would take for granted is done so too, but named in `assumptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple, TypeVar

from safety_service.domain import Answer, Frequency, Quantity
from safety_service.knowledge.sig_words import MONTH, Found, SigWords, Words, sig_tokens

MOST_CHARACTERS = 1000
_MOST_TOKENS = 150
_MOST_NUMBER = 100_000  # no dose and no number of days is greater
_MASSES = {"ug": 1.0, "mg": 1e3, "g": 1e6}  # in micrograms
PIECES = frozenset({"{tbl}", "{cap}", "{pill}", "1"})
_MONTH_DAYS = (28, 31)
_DAY = 24
_MOST_HOURS = 4 * 168
_MOST_DAYS = 1000
T = TypeVar("T")


class Confidence(IntEnum):
    """How far a sig was read. Only MODERATE and HIGH may be used."""

    NONE = 0  # nothing was read
    LOW = 1  # words are left over, or clauses disagree
    MODERATE = 2  # every word is read, and `assumptions` says what was taken for granted
    HIGH = 3  # every word is read, and has one meaning


@dataclass(frozen=True, slots=True)
class Sig:
    """What a sig says. None, UNKNOWN and empty: it does not say."""

    confidence: Confidence = Confidence.NONE
    dose_low: Quantity | None = None  # UCUM; "1" where a number stands alone: one piece of the product
    dose_high: Quantity | None = None
    stated_mass: Quantity | None = None  # of the whole dose, where pieces and mass are both given: "2 tablets (10 mg)"
    each_mass: Quantity | None = None  # of one piece: "2 tablets (5 mg each)"
    frequency: Frequency | None = None
    as_needed: Answer = Answer.UNKNOWN  # NO: a frequency without "as needed", "up to" or a symptom
    reason: str = ""  # the words behind "for" or "as needed"
    route: str = ""
    days: tuple[int, int] | None = None  # fewest and most
    daily_most: Quantity | None = None  # in 24 hours
    assumptions: tuple[str, ...] = ()
    unparsed: tuple[str, ...] = ()  # words that were not read, in order
    refused: tuple[str, ...] = ()  # why the words that were read do not make one meaning

    @property
    def usable(self) -> bool:
        return self.confidence >= Confidence.MODERATE


# --- clauses -----------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    low: float
    high: float


class Amount(NamedTuple):
    """How much: `mass` is in `mass_unit`, of the whole or of each piece."""

    span: Span
    unit: str
    mass: float | None = None
    mass_unit: str = ""
    mass_of: str = ""  # whole, each, or "" when it is not said


class Rate(NamedTuple):
    """How often. `bare`: only the period is named ("daily"); `up_to`: no least number."""

    low: int
    high: int
    hours: int
    bare: bool = False
    up_to: bool = False


class Lasting(NamedTuple):
    low: int
    high: int


class Most(NamedTuple):
    value: float
    unit: str


@dataclass(slots=True)
class _Clauses:
    """All clauses found in one text."""

    amounts: list[Amount] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    meals: list[bool] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    lastings: list[Lasting] = field(default_factory=list)
    mosts: list[Most] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@lru_cache(maxsize=2048)
def read_sig(words: SigWords, text: str) -> Sig:
    """What `text` says. Never raises. The same sigs come again and again, so the last ones are kept."""
    if len(text) > MOST_CHARACTERS:
        return Sig(refused=(f"longer than {MOST_CHARACTERS} characters",))
    tokens = sig_tokens(text)
    if len(tokens) > _MOST_TOKENS:
        return Sig(refused=(f"more than {_MOST_TOKENS} words",))
    return _settle(_Reader(words, tokens).clauses())


_SEPARATORS = frozenset({",", ";", "-", "(", ")", "and", "&", ":"})


class _Reader:
    """Reads clauses from tokens. Each method looks at one place and gives what stands there, with the place behind."""

    def __init__(self, words: SigWords, tokens: Words) -> None:
        self.words = words
        self.tokens = tokens

    def clauses(self) -> _Clauses:
        found = _Clauses()
        at = 0
        before = "verb"  # kind of the clause before: a number alone is a dose only at the start or behind the verb
        while at < len(self.tokens):
            token = self.tokens[at]
            if token in _SEPARATORS:
                at += 1
                continue
            kind, end = self.clause(at, before == "verb", found)
            if not kind:
                if token in self.words.steps:
                    found.refused.append(f"more than one step: {token}")
                found.unparsed.append(token)
            elif at and self.tokens[at - 1] in ("and", "&"):
                if kind == "need":
                    found.refused.append("'as needed' stands beside the rest, not over it")
                elif {kind, before} == {"rate", "slot"}:
                    found.refused.append("a time of the day beside the frequency")
            at, before = end, kind
        return found

    def clause(self, at: int, bare_ok: bool, found: _Clauses) -> tuple[str, int]:
        """Puts the longest clause at `at` into `found`; its kind and the place behind it, "" when there is none."""
        words, tokens = self.words, self.tokens
        readings: tuple[tuple[str, Found[Any] | None, list[Any] | None], ...] = (
            ("verb", words.verbs.at(tokens, at), None),
            ("harmless", words.harmless.at(tokens, at), None),
            ("rate", self.rate(at), found.rates),
            ("lasting", self.lasting(at), found.lastings),
            ("most", self.most(at), found.mosts),
            ("amount", self.amount(at, bare_ok), found.amounts),
            ("need", self.need(at), found.needs),
            ("reason", self.reason(at), found.reasons),
            ("slot", self.slot(at), found.slots),
            ("meals", words.meals.at(tokens, at), found.meals),
            ("route", words.routes.at(tokens, at), found.routes),
        )
        kind, best, put = max(readings, key=lambda reading: 0 if reading[1] is None else reading[1].end)
        if best is None:
            return "", at + 1
        if put is not None:
            put.append(best.value)
        found.assumed += best.assumed
        return kind, best.end

    # --- numbers

    def token(self, at: int) -> str:
        return self.tokens[at] if at < len(self.tokens) else ""

    def number(self, at: int) -> Found[float] | None:
        """A number, a fraction or both, written or in words, with its repetition in brackets: "two (2)"."""
        read = self.one_number(at)
        if read is None:
            return None
        again_at = read.end + 1 if self.token(read.end) == "(" else read.end
        again = self.one_number(again_at)
        if again is None or again.value != read.value:
            return read
        if again_at != read.end:
            return Found(read.value, again.end + 1, read.assumed) if self.token(again.end) == ")" else read
        digits_first = self.token(at)[0].isdigit() and self.token(read.end).isalpha()
        return Found(read.value, again.end, read.assumed) if digits_first else read  # "2 two", brackets lost

    def one_number(self, at: int) -> Found[float] | None:
        token = self.token(at)
        fraction = self.fraction(at)
        if fraction is not None:
            return fraction
        if token in self.words.numbers:
            value, end = float(self.words.numbers[token]), at + 1
            if self.token(end) == "-" and self.token(end + 1) in self.words.fractions:
                end += 1  # one-half
            if value == 1 and self.token(end) in self.words.fractions:
                return Found(self.words.fractions[self.token(end)], end + 1)
            if self.fraction(end) is not None:
                return None  # "one 1/2": one and a half, or one piece of a half
            return self.and_a_half(Found(value, end))
        if not token.lstrip(".")[:1].isdigit() or "," in token or len(token) > 8:
            return None
        value = float(token)
        if not 0 < value <= _MOST_NUMBER:
            return None
        slips = token.startswith(".") or ("." in token and token.endswith("0"))  # .5 is taken for 5, 1.0 for 10
        assumed: Words = (f"{token} read as {value:g}",) if slips else ()
        read = Found(value, at + 1, assumed)
        if value.is_integer() and "." not in token:
            part = self.fraction(at + 1)
            if part is not None and self.token(at + 1) not in self.words.fractions:
                return Found(value + part.value, part.end)
            if self.token(at + 1) == "-" and self.token(at + 2) == "1":
                part = self.fraction(at + 2)
                if part is not None:
                    total = value + part.value
                    written = "".join(self.tokens[at : part.end])
                    return Found(total, part.end, (f"{written} read as {total:g}",))
        return self.and_a_half(read)

    def fraction(self, at: int) -> Found[float] | None:
        """1/2, 1/4, 3/4, half, quarter. Any other is no number that a piece can be cut to."""
        token = self.token(at)
        if token in self.words.fractions:
            return Found(self.words.fractions[token], at + 1)
        if token in ("1", "3") and self.token(at + 1) == "/" and self.token(at + 2) in ("2", "4"):
            value = int(token) / int(self.token(at + 2))
            if value < 1 and self.token(at + 3) != "/":
                return Found(value, at + 3)
        return None

    def and_a_half(self, read: Found[float]) -> Found[float]:
        at = read.end
        if self.token(at) != "and" or not read.value.is_integer():
            return read
        at += 2 if self.token(at + 1) in ("a", "one") else 1
        part = self.fraction(at) or (self.fraction(at + 1) if self.token(at) == "-" else None)
        return read if part is None else Found(read.value + part.value, part.end, read.assumed)

    def span(self, at: int) -> Found[Span] | None:
        """A number or two, "1-2", "one to two", "1 or 2"."""
        low = self.number(at)
        if low is None:
            return None
        if self.token(low.end) in ("-", "to", "or"):
            high = self.number(low.end + 1)
            if high is not None and high.value > low.value:
                return Found(Span(low.value, high.value), high.end, (*low.assumed, *high.assumed))
            if high is not None:
                return None  # "2-1": not a range
        return Found(Span(low.value, low.value), low.end, low.assumed)

    # --- how much

    def amount(self, at: int, bare_ok: bool) -> Found[Amount] | None:
        if self.token(at) in ("a", "an"):
            unit = self.words.units.at(self.tokens, at + 1)
            return self.with_mass(Span(1.0, 1.0), unit) if unit is not None and unit.value in PIECES else None
        span = self.span(at)
        if span is None:
            return None
        end = span.end
        if span.value.high < 1:  # half of a tablet
            end += self.token(end) == "of"
            end += self.token(end) in ("a", "an", "one")
        unit = self.words.units.at(self.tokens, end)
        if unit is not None:
            read = self.with_mass(span.value, unit)
            return read._replace(assumed=(*span.assumed, *read.assumed))
        size = self.mass(end) if end == span.end else None  # one 150 mg tablet
        if size is not None:
            unit = self.words.units.at(self.tokens, size.end)
            if unit is None or unit.value not in PIECES:
                return None
            amount = Amount(span.value, unit.value, *size.value, "each")
            return Found(amount, unit.end, (*span.assumed, *size.assumed))
        if bare_ok and end == span.end and self.may_follow_bare(end):
            amount = Amount(span.value, "1")
            told = f"{_range(span.value)} without a unit read as pieces of the product"
            return Found(amount, end, (*span.assumed, told))
        return None

    def may_follow_bare(self, at: int) -> bool:
        """Whether what follows a number alone lets it be a dose: how often, a route, as needed, how long."""
        while self.token(at) in (",", "-"):
            at += 1
        if at >= len(self.tokens):
            return False  # "take 2" may go on anywhere
        words = self.words
        phrases = (words.routes, words.as_needed, words.meals)
        if any(phrase.at(self.tokens, at) is not None for phrase in phrases):
            return True
        if self.lasting(at) is not None:
            return words.lasting.at(self.tokens, at) is not None  # "2 3 days" says nothing
        readings = (self.rate(at), self.slot(at), self.reason(at), self.most(at))
        return any(reading is not None for reading in readings)

    def mass(self, at: int) -> Found[tuple[float, str]] | None:
        value = self.one_number(at)
        if value is None:
            return None
        unit = self.words.units.at(self.tokens, value.end)
        if unit is None or unit.value not in _MASSES:
            return None
        return Found((value.value, unit.value), unit.end, (*value.assumed, *unit.assumed))

    def with_mass(self, span: Span, unit: Found[str]) -> Found[Amount]:
        """A number of pieces with what they hold: "(10 mg total)", "10 mg"."""
        plain = Found(Amount(span, unit.value), unit.end, unit.assumed)
        bracket = self.token(unit.end) == "("
        mass = self.mass(unit.end + bracket) if unit.value in PIECES else None
        if mass is None or span.low != span.high:
            return plain
        end, of = mass.end, ""
        if self.token(end) in ("total", "each"):
            of = "whole" if self.token(end) == "total" else "each"
            end += 1
        if bracket:
            if self.token(end) != ")":
                return plain
            end += 1
        return Found(Amount(span, unit.value, *mass.value, of), end, (*unit.assumed, *mass.assumed))

    # --- how often

    def rate(self, at: int) -> Found[Rate] | None:
        whole = self.words.frequencies.at(self.tokens, at)
        if whole is not None:
            times, hours = whole.value
            return Found(Rate(times, times, hours), whole.end, whole.assumed)
        return self.counted(at) or self.interval(at) or self.bare_period(at)

    def counted(self, at: int) -> Found[Rate] | None:
        """Like "three times a day", "up to twice daily", "2-3x/day"."""
        lead = self.words.up_to.at(self.tokens, at)
        limit = self.words.limits.at(self.tokens, at)  # "no more than 3 times a day"
        up_to = lead is not None or (limit is not None and not limit.value)
        if limit is not None and lead is None and not limit.value:
            lead = Found(None, limit.end)
        read = self.times(lead.end if lead is not None else at)
        if read is None:
            return None
        period = self.words.periods.at(self.tokens, read.end)
        if period is None:
            return None
        low, high = read.value
        return Found(Rate(1 if up_to else low, high, period.value, up_to=up_to), period.end, read.assumed)

    def times(self, at: int) -> Found[tuple[int, int]] | None:
        """Like "once", "once or twice", "two to three times", "2x"."""
        words = self.words.times
        if self.token(at) in words:
            low = high = words[self.token(at)]
            if self.token(at + 1) in ("or", "to", "-") and self.token(at + 2) in words:
                high = words[self.token(at + 2)]
                at += 2
            return Found((low, high), at + 1) if low <= high else None
        span = self.span(at)
        if span is None or self.token(span.end) not in ("times", "time", "x"):
            return None
        low_times, high_times = span.value
        if not (low_times.is_integer() and high_times.is_integer() and high_times <= _DAY):
            return None
        return Found((int(low_times), int(high_times)), span.end + 1, span.assumed)

    def interval(self, at: int) -> Found[Rate] | None:
        """Like "every 4 to 6 hours", "q6h", "8 hourly". A range becomes fewest and most in the least common period."""
        if self.token(at) in ("every", "each", "q"):
            span = self.span(at + 1)
            if span is None:
                return None
            unit = self.words.interval_units.at(self.tokens, span.end)
        else:
            span = self.span(at)
            if span is None:
                return None
            end = span.end + (self.token(span.end) == "-")
            hourly = self.words.hourly.at(self.tokens, end)
            unit = None if hourly is None else Found(1, hourly.end)
        if unit is None:
            return None
        low, high = (each * unit.value for each in span.value)
        if not (low.is_integer() and high.is_integer() and high <= _MOST_HOURS and high <= 4 * low):
            return None
        hours = lcm(int(low), int(high))
        return Found(Rate(hours // int(high), hours // int(low), hours), unit.end, span.assumed)

    def bare_period(self, at: int) -> Found[Rate] | None:
        period = self.words.periods.at(self.tokens, at)
        return None if period is None else Found(Rate(1, 1, period.value, bare=True), period.end)

    def slot(self, at: int) -> Found[str] | None:
        """Like "at bedtime", "every morning", "nightly"."""
        plain = self.words.slots.at(self.tokens, at)
        lead = self.words.leads.at(self.tokens, at)
        led = None if lead is None else self.words.slots.at(self.tokens, lead.end)
        return led if plain is None or (led is not None and led.end > plain.end) else plain

    # --- the rest

    def lasting(self, at: int) -> Found[Lasting] | None:
        """Like "for 7 days", "x 2 weeks", "for up to 10 days", and "30 days" alone."""
        lead = self.words.lasting.at(self.tokens, at)
        start = at if lead is None else lead.end
        up_to = self.words.up_to.at(self.tokens, start)
        start = start if up_to is None else up_to.end
        if lead is not None and self.token(start) in ("a", "an"):
            span: Found[Span] | None = Found(Span(1.0, 1.0), start + 1)
        else:
            span = self.span(start)
        if span is None:
            return None
        unit = self.words.spans.at(self.tokens, span.end)
        if unit is None or not (span.value.low.is_integer() and span.value.high.is_integer()):
            return None
        low, high = int(span.value.low), int(span.value.high)
        word = self.tokens[unit.end - 1]
        if lead is None and up_to is None and (low < 2 or word not in self.words.plain_spans):
            return None  # "3 day" may be "3 a day", "2 nights" "2 at night"
        if high * max(unit.value, _MONTH_DAYS[1] * (unit.value == MONTH)) > _MOST_DAYS:
            return None
        assumed = [*span.assumed]
        if unit.value == MONTH:
            low, high = low * _MONTH_DAYS[0], high * _MONTH_DAYS[1]
            assumed.append(f"a month read as {_MONTH_DAYS[0]} to {_MONTH_DAYS[1]} days")
        else:
            low, high = low * unit.value, high * unit.value
        if up_to is not None:
            assumed.append(f"'up to' read as the whole {high} days")
            low = high
        elif lead is None:
            assumed.append(f"'{' '.join(self.tokens[at : unit.end])}' read as how long it is taken")
        elif self.tokens[at] == "x" and self.token(span.end) == "d":
            assumed.append(f"'{''.join(self.tokens[at : unit.end])}' read as days, not doses")
        return Found(Lasting(low, high), unit.end, tuple(assumed))

    def need(self, at: int) -> Found[str] | None:
        """Like "as needed", with or without what for."""
        needed = self.words.as_needed.at(self.tokens, at)
        if needed is None:
            return None
        reason = self.reason(needed.end) or self.symptoms(needed.end)
        if reason is None:
            return Found("", needed.end)
        return reason

    def reason(self, at: int) -> Found[str] | None:
        return self.symptoms(at + 1) if self.token(at) == "for" else None

    def symptoms(self, at: int) -> Found[str] | None:
        start = at
        known = self.words.reasons
        if self.token(at) == "the":
            at += 1
        while self.token(at) in known or (
            at > start and self.token(at) in ("and", "or", "to", "/", ",") and self.token(at + 1) in known
        ):
            at += 1
        return Found(" ".join(self.tokens[start:at]), at) if at > start and self.tokens[at - 1] in known else None

    def most(self, at: int) -> Found[Most] | None:
        """Like "max 3 tablets per day", "MDD 60 mg", "not to exceed 4 in 24 hours"."""
        lead = self.words.limits.at(self.tokens, at)
        if lead is None:
            return None
        start = lead.end
        while self.token(start) in (":", "=", "-", "is"):
            start += 1
        value = self.number(start)
        if value is None:
            return None
        unit = self.words.units.at(self.tokens, value.end)
        end = value.end if unit is None else unit.end
        period = self.words.periods.at(self.tokens, end)
        if period is not None and period.value != _DAY:
            return None
        if period is None and not lead.value:
            return None
        assumed = value.assumed if unit is None else (*value.assumed, *unit.assumed)
        return Found(
            Most(value.value, "" if unit is None else unit.value), end if period is None else period.end, assumed
        )


# --- one meaning -------------------------------------------------------------------------------------------------


def _settle(found: _Clauses) -> Sig:
    """The clauses as one meaning, or the reasons why they have none."""
    amount = _only(found.amounts, "more than one dose", found.refused, same=False)
    route = _only(found.routes, "more than one route", found.refused)
    lasting = _only(found.lastings, "more than one duration", found.refused)
    most = _only(found.mosts, "more than one daily maximum", found.refused)
    rate = _often(found)
    if lasting is not None and rate is not None and lasting.high * 24 < rate.hours:
        found.refused.append("the days are fewer than the period of the frequency")
    if amount is not None and rate is not None and rate.bare and rate.hours == _DAY and amount.span.high > 1:
        if amount.unit == "1":
            found.refused.append(f"{_range(amount.span)} a day: how many at once is not said")
        else:
            found.assumed.append(f"{_range(amount.span)} a day read as taken at once")
    low = high = stated = each = daily = None
    if amount is not None:
        low, high = Quantity(amount.span.low, amount.unit), Quantity(amount.span.high, amount.unit)
        if amount.mass is not None:
            mass = Quantity(amount.mass, amount.mass_unit)
            if amount.mass_of == "each":
                each = mass
            else:
                stated = mass
                if not amount.mass_of and amount.span.high != 1:
                    found.assumed.append(f"{mass.value:g} {mass.unit} read as the whole dose")
    if most is not None:
        daily = _daily_most(most, amount, found)
    reasons = dict.fromkeys([each for each in (*found.needs, *found.reasons) if each])
    sig = Sig(
        dose_low=low,
        dose_high=high,
        stated_mass=stated,
        each_mass=each,
        frequency=None if rate is None else Frequency(rate.low, rate.high, rate.hours),
        as_needed=_as_needed(found, rate),
        reason=", ".join(reasons),
        route=route or "",
        days=None if lasting is None else (lasting.low, lasting.high),
        daily_most=daily,
    )
    nothing = sig == Sig()
    if found.unparsed or found.refused:
        confidence = Confidence.NONE if nothing else Confidence.LOW
    elif nothing:
        confidence = Confidence.NONE
    else:
        confidence = Confidence.MODERATE if found.assumed else Confidence.HIGH
    return replace(
        sig,
        confidence=confidence,
        assumptions=tuple(dict.fromkeys(found.assumed)),
        unparsed=tuple(found.unparsed),
        refused=tuple(dict.fromkeys(found.refused)),
    )


def _only(found: list[T], why: str, refused: list[str], same: bool = True) -> T | None:
    """The one clause of its kind; None and a reason when there are more. `same`: the same said twice is one."""
    kinds = set(found) if same else found
    if len(kinds) > 1:
        refused.append(why)
        return None
    return found[0] if found else None


def _often(found: _Clauses) -> Rate | None:
    """One frequency from all that is said of how often; None and a reason when it is not one."""
    bare = {rate for rate in found.rates if rate.bare}
    counted = [rate for rate in found.rates if not rate.bare]
    alike = {(rate.low / rate.hours, rate.high / rate.hours) for rate in counted}
    named = {(1 / rate.hours, 1 / rate.hours) for rate in bare}
    if len(alike) > 1 or len(named) > 1 or (alike and named and alike != named):
        found.refused.append("two frequencies that differ")
        return None
    if found.slots:
        return _at_times(found, counted, bare)
    if found.meals and not counted and (not bare or any(found.meals)):
        found.refused.append("meals: how many doses is not said")
        return None
    return next(iter((*counted, *bare)), None)


def _at_times(found: _Clauses, counted: list[Rate], bare: set[Rate]) -> Rate | None:
    """A frequency told by times of the day, alone or beside a number."""
    slots = set(found.slots)
    meals = 3 * any(found.meals)
    if counted:
        rate = counted[0]
        if rate.hours == _DAY and rate.low == rate.high and rate.high in (len(slots), len(slots) + meals):
            return rate
        found.refused.append("the times of the day do not make up the frequency")
    elif any(rate.hours != _DAY for rate in bare):
        found.refused.append("the times of the day do not make up the frequency")
    elif meals:
        found.refused.append("meals and times of the day: how many doses is not said")
    elif {"evening", "night"} <= slots:
        found.refused.append("evening and bedtime may be one time or two")
    else:
        return Rate(len(slots), len(slots), _DAY)
    return None


def _daily_most(most: Most, amount: Amount | None, found: _Clauses) -> Quantity | None:
    unit = most.unit
    if not unit:
        if amount is None or amount.unit not in PIECES:
            found.refused.append("a daily maximum without a unit")
            return None
        unit = amount.unit
        if amount.span != (1.0, 1.0):
            found.assumed.append(f"a maximum of {most.value:g} a day read as pieces of the product")
    if amount is not None:
        piece = amount.unit in PIECES and unit in PIECES
        mass = amount.unit in _MASSES and unit in _MASSES
        single = amount.span.high * (_MASSES[amount.unit] / _MASSES[unit] if mass else 1)
        if (piece or mass or amount.unit == unit) and single > most.value:
            found.refused.append("the daily maximum is less than one dose")
            return None
    return Quantity(most.value, unit)


def _as_needed(found: _Clauses, rate: Rate | None) -> Answer:
    if found.needs:
        return Answer.YES
    # "for pain" and "up to" may or may not mean only when needed
    return Answer.UNKNOWN if rate is None or rate.up_to or found.reasons else Answer.NO


# --- back into words ---------------------------------------------------------------------------------------------

_UNIT_WORDS = {"{tbl}": "tablet", "{cap}": "capsule", "{pill}": "pill"}
_TIMES_WORDS = {1: "once", 2: "twice"}


def _range(span: Span) -> str:
    return f"{span.low:.10g}" if span.low == span.high else f"{span.low:.10g} to {span.high:.10g}"


def dose_words(low: Quantity, high: Quantity) -> str:
    """Like "1 tablet", "1 to 2 tablets", "10 mg"."""
    word = _UNIT_WORDS.get(high.unit)
    if word is None:
        return _range(Span(low.value, high.value)) + (f" {high.unit}" if high.unit != "1" else "")
    return f"{_range(Span(low.value, high.value))} {word}{'s' if high.value > 1 else ''}"


def frequency_words(often: Frequency) -> str:
    """Like "3 times a day", "every 6 hours"; "2 to 3 times every 12 hours" for every 4 to 6 hours."""
    low, high, hours = often.times_low, often.times_high, often.period_hours
    if low == high == 1 and hours not in (24, 168):
        return f"every {hours} hours"
    if low != high and hours not in (24, 168) and hours % high == 0 and hours % low == 0:
        return f"every {hours // high} to {hours // low} hours"
    times = f"{low} to {high} times" if low != high else _TIMES_WORDS.get(low, f"{low} times")
    return times + {24: " a day", 168: " a week"}.get(hours, f" every {hours} hours")


def _up_to_words(often: Frequency) -> str:
    return "up to " + frequency_words(replace(often, times_low=often.times_high))


def sig_words_of(sig: Sig) -> str:
    """A usable sig in plain words that read back to the same meaning."""
    parts = ["take"]
    if sig.dose_low is not None and sig.dose_high is not None:
        parts.append(dose_words(sig.dose_low, sig.dose_high) + "," * (sig.dose_high.unit == "1"))
        if sig.stated_mass is not None:
            parts.append(f"({sig.stated_mass.value:.10g} {sig.stated_mass.unit} total)")
        elif sig.each_mass is not None:
            parts.append(f"({sig.each_mass.value:.10g} {sig.each_mass.unit} each)")
    if sig.route:
        parts.append("by mouth" if sig.route == "oral" else sig.route)
    if sig.frequency is not None:
        up_to = sig.as_needed is Answer.UNKNOWN and not sig.reason
        parts.append(_up_to_words(sig.frequency) if up_to else frequency_words(sig.frequency))
    if sig.as_needed is Answer.YES:
        parts.append("as needed")
    if sig.reason:
        parts.append(f"for {sig.reason}")
    if sig.days is not None:
        low, high = sig.days
        parts.append(f"for {_range(Span(low, high))} day{'s' if high != 1 else ''}")
    if sig.daily_most is not None:
        parts.append(f"max {dose_words(sig.daily_most, sig.daily_most)} per day")
    return " ".join(parts)
