"""The sig as written, "1 tab po tid x 10 days prn pain", read into dose, frequency, length and as-needed.

Every word must be understood: a sig with one that is not, with several steps, or in another language is not read at
all, since a word that was passed over could be "not" or "then". What is taken as meant without being said is stated.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from typing import NamedTuple, Protocol

MOST_CHARACTERS = 1_000  # of a sig; a longer one is a text, not a sig
_MOST = 10_000  # no dose, count or period of a sig is greater


class Confidence(Enum):
    """HIGH: every word was understood. LOW: so it was, but something was taken as meant. NONE: not read."""

    NONE = "not read"
    LOW = "read with assumptions"
    HIGH = "read"


class Dose(NamedTuple):
    """`unit` is UCUM or a word in braces, "{tbl}"; "" where only a number is written."""

    low: float
    high: float
    unit: str


class Often(NamedTuple):
    """`low` to `high` times in each `period` to `period_max` of `unit` ("h", "d", "wk")."""

    low: int
    high: int
    period: float
    period_max: float
    unit: str


class Length(NamedTuple):
    """`low` to `high` of `unit` ("d", "mo")."""

    low: int
    high: int
    unit: str


class Sig(NamedTuple):
    """What a sig says; None = it does not say. `why_not` is why it was not read; `most_a_day` is its own maximum."""

    confidence: Confidence
    dose: Dose | None = None
    often: Often | None = None
    as_needed: bool | None = None
    length: Length | None = None
    route: str = ""
    most_a_day: Dose | None = None
    assumptions: tuple[str, ...] = ()
    why_not: str = ""


def read_dosage_text(text: str) -> Sig:
    """Reads a sig. What is not understood is not read: there is no best guess."""
    if not text.strip():
        return Sig(Confidence.NONE, why_not="empty")
    if len(text) > MOST_CHARACTERS:
        return Sig(Confidence.NONE, why_not=f"longer than {MOST_CHARACTERS} characters")
    reading = _Reading(_normal(text))
    try:
        return reading.sig()
    except _NotReadError as why:
        return Sig(Confidence.NONE, why_not=str(why))


class _NotReadError(Exception):
    pass


# --- the text as plain words -------------------------------------------------------------------------------------

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
    )
} | {"twenty": "20", "thirty": "30", "half": "1/2", "quarter": "1/4"}
_ORDINALS = dict(zip("third fourth fifth sixth seventh eighth".split(), "345678", strict=True))
_NUMBER_WORD = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_ABBREVIATED = re.compile(r"(?<![a-z0-9])(?:[a-z]\.){1,3}[a-z0-9]?(?:\.[a-z])?\.?(?![a-z0-9])|(?<![a-z])q\.(?=\d)")
_RUN_TOGETHER = re.compile(r"(?<![a-z])(daily|bid|tid|qid|qd|bedtime|hs)(?=x ?\d)")
_PRN_RUN_TOGETHER = re.compile(r"(?<![a-z])(daily|bid|tid|qid|qd)(?=prn)")
_FRACTION_SIGNS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}


def _normal(text: str) -> str:
    """Lower case, numbers as digits, abbreviations without full stops, one space between words."""
    said = text.lower()
    for sign, words in _FRACTION_SIGNS.items():
        said = said.replace(sign, f" {words} ")
    said = unicodedata.normalize("NFKC", said).replace("–", "-").replace("—", "-").replace("×", "x").replace("’", "'")
    said = re.sub(r"\s+", " ", said).strip()
    said = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", said)
    said = _ABBREVIATED.sub(lambda found: found[0].replace(".", "") + ("" if found[0][-1:] != "." else " "), said)
    said = _RUN_TOGETHER.sub(r"\1 ", said)
    said = _PRN_RUN_TOGETHER.sub(r"\1 ", said)
    said = re.sub(r"\b(tablet|tab|capsule|cap|puff|pill|drop|spray)\(s\)", r"\1s", said)
    if re.search(rf"\b(?:{_NUMBER_WORD}) ?/ ?(?:{_NUMBER_WORD})\b", said):
        return f"{said} /ambiguous/"  # "one/two" is no half
    said = re.sub(rf"\b(?:(\d+)|({_NUMBER_WORD})) and (?:a |one )?(half|quarter)\b", _mixed, said)
    said = re.sub(r"\bone[- ](half|quarter)\b", lambda found: _NUMBERS[found[1]], said)
    said = re.sub(r"\bhalf (?:a|an|of a|of one)\b", "1/2", said)
    said = re.sub(rf"\b(?:{_NUMBER_WORD})\b", lambda found: _NUMBERS[found[0]], said)
    said = re.sub(
        rf"\bevery ({'|'.join(_ORDINALS)}) (day|week|hour)\b", lambda f: f"every {_ORDINALS[f[1]]} {f[2]}s", said
    )
    # "2 (two) times", "4 four hours": the same number twice.
    said = re.sub(r"(?<![\d./-])(\d+) \(?\1\)?(?= (?:times|hours|hrs|tablets?|tabs?|capsules?|puffs?)\b)", r"\1", said)
    return re.sub(r"\s+", " ", said).strip()


def _mixed(found: re.Match[str]) -> str:
    whole = found[1] or _NUMBERS[found[2]]
    return f"{whole} {_NUMBERS[found[3]]}"


# --- phrases -----------------------------------------------------------------------------------------------------

_N = r"(?:\d{1,5} \d/\d|\d{1,5}/\d{1,2}|\d{1,5}(?:\.\d{1,4})?|\.\d{1,4})"
_RANGE = rf"(?P<low>{_N})(?: ?(?:-|to|or) ?(?P<high>{_N}))?"
_UNITS = {
    "mg": "mg|mgs|milligrams?",
    "ug": "mcg|ug|micrograms?",
    "g": "gm|grams?|g",
    "mL": "mls?|cc|millilit(?:er|re)s?",
    "{tbl}": "tablets?|tabs?|tbl|caplets?",
    "{cap}": "capsules?|caps?",
    "{pill}": "pills?",
    "{puff}": "puffs?|inhalations?",
    "{spray}": "sprays?",
    "{drop}": "drops?|gtts?",
    "{patch}": "patch(?:es)?",
    "{suppository}": "supposito(?:ry|ries)",
    "[iU]": "iu|units?",
    "[tsp_us]": "tsp|teaspoons?(?:ful)?",
}
_UNIT = "|".join(f"(?:{words})" for words in _UNITS.values())
_UNIT_OF = [(re.compile(words), unit) for unit, words in _UNITS.items()]
_PIECES = frozenset({"{tbl}", "{cap}", "{pill}", ""})
_VERB = r"take|give|use|swallow|chew|inhale|instill?|insert|inject|apply|place|administer"
_DAY = r"(?:a|per|each|every|/) ?day|daily|/ ?d"
_ONCE = {
    r"(?:every|each|in the|q) ?(?:morning|am)|qam|mornings?": "morning",
    r"(?:every|each|in the|q) ?(?:evening|pm)|qpm|evenings?": "evening",
    r"(?:(?:every night|nightly) )?(?:at|before) (?:bedtime|bed time|bed)|(?:q ?)?hs|qhs|bedtime|"
    r"(?:every|each|at|q) ?night(?: time)?|nightly|nights?|nocte": "night",
    r"(?:at )?noon|midday": "noon",
    r"(?:at|with|before|after) breakfast": "breakfast",
    r"(?:at|with|before|after) lunch": "lunch",
    r"(?:at|with|before|after) (?:dinner|supper|(?:the )?evening meal)": "dinner",
}
_COUNTS = {"qd": 1, "qday": 1, "bid": 2, "bd": 2, "b/d": 2, "tid": 3, "tds": 3, "qid": 4, "qds": 4}
_TIMES = {"once": 1, "twice": 2, "thrice": 3}
_ROUTES = {
    "oral": r"po|per os|p/o|by mouth|orally|oral|by oral route|via oral route",
    "sublingual": r"sl|sublingual(?:ly)?|under the tongue",
    "topical": r"topical(?:ly)?|by topical route",
    "intravenous": "iv|intravenous(?:ly)?",
    "intramuscular": "im|intramuscular(?:ly)?",
    "subcutaneous": r"sc|sq|subcut(?:aneous(?:ly)?)?|subq",
    "inhalation": r"by inhalation(?: route)?|inhalation|inh|by nebulization|using inhaler",
    "rectal": r"rectally|per rectum",
}
_FILLERS = (
    r"as directed|ud|uad|with (?:a )?(?:full )?(?:glass of )?(?:water|milk|food|meal)(?: or milk)?|wf|"
    r"with or without food|after food|on an empty stomach|swallow whole|do not crush(?: or chew)?|do not chew|please|"
    r"at a time|total|to (?:the )?affected areas?(?: of skin)?"
)
# Words of a reason, "for lower back pain". Only these: an unknown word could be an instruction, in any language.
_REASON = frozenset(
    """pain pains ache aches aching spasm spasms cramp cramps spasticity stiffness tension tightness soreness strain
    sprain injury muscle muscles muscular musculoskeletal back lower upper low neck shoulder shoulders leg legs arm arms
    hip hips knee knees elbow rib ribs chest head foot feet hand hands joint joints nerve right left side acute chronic
    mild moderate severe breakthrough the a of and or to with discomfort inflammation swelling arthritis fibromyalgia
    neuropathy neuropathic diabetic sciatica headache headaches migraine migraines anxiety attacks panic depression mood
    moodiness sleep insomnia restless restlessness agitation stress nausea vomiting dizziness vertigo motion sickness
    fever cough coughing wheezing wheeze asthma copd dyspnea shortness breath sob congestion allergy allergies allergic
    rhinitis itch itching pruritus rash hives infection respiratory tract urinary bladder constipation diarrhea
    heartburn reflux gerd indigestion blood pressure hypertension heart angina cholesterol diabetes thyroid seizures
    tremor withdrawal smoking cessation""".split()
)
_STEPS = re.compile(r"\b(?:then|taper|followed by|increase|decrease|reduce|titrate|alternat\w+(?! days?)|pulse)\b")


class _Reading:
    """One pass over the words from left to right: at each place the first phrase that fits is taken."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.at = 0
        self.dose: Dose | None = None
        self.strength: Dose | None = None
        self.times: list[Often] = []
        self.of_day: list[str] = []
        self.as_needed = False
        self.needed_until = -1
        self.length: Length | None = None
        self.route = ""
        self.most: Dose | None = None
        self.meals = False
        self.assumed: list[str] = []

    def sig(self) -> Sig:
        if "/ambiguous/" in self.words:
            raise _NotReadError("two numbers with a stroke between them can be a fraction or a choice")
        if _STEPS.search(self.words):
            raise _NotReadError("several steps")
        while self.at < len(self.words):
            self._phrase()
        often = self._often()
        if self.dose is None and often is None and self.length is None and not self.as_needed:
            raise _NotReadError("says neither dose nor frequency")
        dose = self.dose
        if dose is not None and not dose.unit:
            self.assumed.append("a number without a unit was taken as pieces: tablets or capsules")
            dose = dose._replace(unit="{pill}")
        return Sig(
            Confidence.LOW if self.assumed else Confidence.HIGH,
            dose,
            often,
            self.as_needed,
            self.length,
            self.route,
            self.most,
            tuple(dict.fromkeys(self.assumed)),
        )

    def _phrase(self) -> None:
        for pattern, take in _PHRASES:
            found = pattern.match(self.words, self.at)
            if found and found.end() > self.at:
                take(self, found)
                self.at = found.end()
                return
        raise _NotReadError(f"not understood from the word {self._place()}")

    def _place(self) -> int:
        """The number of the word that was not understood; not the word, which is of a request."""
        return len(self.words[: self.at].split()) + 1

    # --- what a phrase says

    def take_dose(self, found: re.Match[str]) -> None:
        dose = Dose(*_span(found), _unit(found["unit"] or ""))
        if self.dose is None:
            self.dose = dose
        elif self.dose.unit in _PIECES and dose.unit in ("mg", "g", "ug"):
            if self.strength is not None:
                raise _NotReadError("several doses")
            self.strength = dose
            if (self.dose.low, self.dose.high) != (1, 1):
                self.assumed.append("an amount behind the number of pieces was left out: of one piece or of all")
        elif dose == self.dose and self.of_day and not self.times:
            pass  # "1 tablet in the morning and 1 tablet at bedtime"
        else:
            raise _NotReadError("several doses")

    def take_count(self, found: re.Match[str]) -> None:
        """`bid`, `b/d`, `q d`."""
        count = _COUNTS[found["count"].replace(" ", "")]
        self._add(Often(count, count, 1, 1, "d"))

    def take_times(self, found: re.Match[str]) -> None:
        """`3 times a day`, `2 to 4 times a week`, `5x/day`, `up to 4 times daily`."""
        word = found["word"]
        if word:
            low = high = _TIMES[word]
        else:
            low, high = (_whole(each) for each in _span(found))
        if found["upto"]:
            low = 1
        unit = "wk" if found["week"] else "d"
        self._add(Often(low, high, 1, 1, unit))

    def take_every(self, found: re.Match[str]) -> None:
        """`every 6 hours`, `q4-6h`, `every 2 days`, `8 hourly`."""
        low, high = _span(found)
        unit = _period(found["period"])
        if unit == "mo":
            raise _NotReadError("months between doses")
        self._add(Often(1, 1, low, high, unit))

    def take_each(self, found: re.Match[str]) -> None:
        """`daily`, `weekly`, `every other day`, `hourly`."""
        said = found[0]
        if re.search("other|alternate|qod", said):
            self._add(Often(1, 1, 2, 2, "wk" if "week" in said else "d"))
        else:
            unit = "wk" if re.search("week|wk", said) else "h" if re.search("hour|hr|qh", said) else "d"
            self._add(Often(1, 1, 1, 1, unit))

    def take_of_day(self, found: re.Match[str]) -> None:
        name = next(name for pattern, name in _ONCE.items() if re.fullmatch(pattern, found["once"]))
        if name not in self.of_day:
            self.of_day.append(name)

    def take_needed(self, found: re.Match[str]) -> None:
        self.as_needed = True
        self.needed_until = found.end()

    def take_length(self, found: re.Match[str]) -> None:
        low, high = (_whole(each) for each in _span(found))
        unit = {"h": "", "d": "d", "wk": "wk", "mo": "mo"}[_period(found["period"])]
        if not unit or self.length is not None:
            raise _NotReadError("several lengths" if unit else "a length in hours")
        if found["upto"]:
            self.assumed.append("up to a length was taken as this length")
        weeks = 7 if unit == "wk" else 1
        self.length = Length(low * weeks, high * weeks, "d" if unit == "wk" else unit)

    def take_most(self, found: re.Match[str]) -> None:
        dose = Dose(*_span(found), _unit(found["unit"] or ""))
        if self.most is not None and self.most._replace(unit="") != dose._replace(unit=""):
            raise _NotReadError("several maxima")
        self.most = self.most or dose

    def take_route(self, found: re.Match[str]) -> None:
        route = next(name for name, words in _ROUTES.items() if re.fullmatch(words, found["route"]))
        if self.route and route != self.route:
            raise _NotReadError("several routes")
        self.route = route

    def take_reason(self, found: re.Match[str]) -> None:
        """`for lower back pain`; behind `prn` without the `for`."""
        if not found[0].startswith(("for", "due")) and found.start() != self.needed_until:
            raise _NotReadError(f"not understood from the word {self._place()}")

    def take_meals(self, found: re.Match[str]) -> None:
        self.meals = True

    def take_nothing(self, found: re.Match[str]) -> None:
        """Words that change neither dose nor frequency."""

    # --- how often in all

    def _add(self, often: Often) -> None:
        if often.high < 1 or often.low < 0 or not 0 < often.period <= often.period_max:
            raise _NotReadError("a number that cannot be")
        if often not in self.times:
            self.times.append(often)

    def _often(self) -> Often | None:
        """The one frequency: `2 times a day (every 12 hours)` is one, `bid` beside `every 8 hours` is none."""
        named = len(self.of_day)
        if self.meals and not self.times:
            raise _NotReadError("each meal does not say how often")
        if not self.times:
            return Often(named, named, 1, 1, "d") if named else None
        often = self.times[0]
        if any(a_day(each) != a_day(often) for each in self.times[1:]):
            # "1 tablet every 12 hours daily": daily says no more than that it goes on
            rest = [each for each in self.times if each != Often(1, 1, 1, 1, "d")]
            if len(rest) != 1:
                raise _NotReadError("several frequencies")
            often = rest[0]
        if named and not (often == Often(1, 1, 1, 1, "d") or a_day(often) == (named, named)):
            raise _NotReadError("frequency and times of day differ")
        if named > 1 and often == Often(1, 1, 1, 1, "d"):
            return Often(named, named, 1, 1, "d")
        return often


class _Counted(Protocol):
    """A frequency, as `Often`."""

    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...
    @property
    def period(self) -> float: ...
    @property
    def period_max(self) -> float: ...
    @property
    def unit(self) -> str: ...


def a_day(often: _Counted) -> tuple[float, float]:
    """Least and most times a day."""
    days = {"h": 1 / 24, "d": 1, "wk": 7}[often.unit]
    return often.low / (often.period_max * days), often.high / (often.period * days)


def _span(found: re.Match[str]) -> tuple[float, float]:
    low = _number(found["low"]) if found["low"] else 1.0
    high = _number(found["high"]) if found["high"] else low
    if not low <= high <= _MOST or high <= 0:
        raise _NotReadError("a number that cannot be")
    return low, high


def _number(text: str) -> float:
    try:
        return float(sum(Fraction(each) for each in text.split()))
    except ZeroDivisionError:
        raise _NotReadError("a number that cannot be") from None


def _whole(value: float) -> int:
    if not value.is_integer():
        raise _NotReadError("a part of a time")
    return int(value)


def _unit(word: str) -> str:
    return next((unit for pattern, unit in _UNIT_OF if pattern.fullmatch(word)), "")


def _period(word: str) -> str:
    return "h" if word[0] == "h" else "d" if word[0] in "dn" else "wk" if word[0] == "w" else "mo"


_PERIOD = r"(?P<period>hours?|hrs?|h|hourly|hrly|days?|d|nights?|weeks?|wks?|months?)"
_Take = Callable[[_Reading, re.Match[str]], None]


def _phrases() -> Iterator[tuple[re.Pattern[str], _Take]]:
    """In the order in which they are tried. Each ends at the end of a word and takes the spaces behind it."""

    def phrase(pattern: str, take: _Take) -> tuple[re.Pattern[str], _Take]:
        return re.compile(rf"(?:{pattern})(?![a-z0-9/])[ ,;.()]*"), take

    number_and_unit = rf"{_RANGE} ?-?(?P<unit>{_UNIT})"
    up_to = r"(?P<upto>(?:for )?(?:up to|no more than|not more than|at most) )?"
    yield re.compile(r"[ ,;.()]+|--?(?= )"), _Reading.take_nothing
    most = (
        r"mdd|max(?:imum)?(?: daily)?(?: dose| amount)?(?: of| is)?|do not exceed|not to exceed|no more than|"
        r"not more than"
    )
    in_a_day = r" ?(?:per|/|a|in(?: a)?) ?(?:24 ?h(?:ours|rs)?|day)| daily"
    yield phrase(rf"(?:{most})[ :=]*{_RANGE} ?(?P<unit>{_UNIT})?(?:{in_a_day})?", _Reading.take_most)
    yield (
        phrase(
            rf"(?P<upto>up to )?(?:(?P<word>once|twice|thrice)|{_RANGE} ?(?:times?|x)) ?"
            rf"(?:(?:{_DAY}|in 24 hours)|(?P<week>(?:a|per|each|every|/) ?(?:week|wk)|weekly))",
            _Reading.take_times,
        )
    )
    yield phrase(
        rf"(?P<count>{'|'.join(map(re.escape, sorted(_COUNTS, key=len, reverse=True)))}|q d)", _Reading.take_count
    )
    yield phrase(r"every other (?:day|week)|alternate days|on alternate days|qod", _Reading.take_each)
    yield phrase(rf"(?:every|q) ?{_RANGE} ?-?{_PERIOD}", _Reading.take_every)
    yield phrase(rf"{_RANGE} ?(?:-)?(?P<period>hourly|hrly)", _Reading.take_every)
    yield phrase(
        r"weekly|every week|each week|(?:a|per) week|qwk|qweek|q ?wk|hourly|every hour|every hr|qh", _Reading.take_each
    )
    yield phrase(rf"(?:(?:at|in) )?(?:{_DAY})|everyday", _Reading.take_each)
    yield phrase(rf"(?:and )?(?P<once>{'|'.join(_ONCE)})", _Reading.take_of_day)
    yield phrase(
        rf"(?:for |x ?|times ){up_to}(?:a |the next )?(?:{_RANGE} )?{_PERIOD.replace('h|', '')}", _Reading.take_length
    )
    yield phrase(rf"(?:for |x ?|times ){up_to}{_RANGE} ?-?{_PERIOD}", _Reading.take_length)
    yield phrase(
        r"(?:only )?(?:take )?(?:as|if|when|where) (?:needed|required|necessary)|prn|as (?:needed|required)|sos",
        _Reading.take_needed,
    )
    yield phrase(rf"(?:and )?(?:(?:{_VERB}) )?{number_and_unit}(?: total)?", _Reading.take_dose)
    yield phrase(rf"{_RANGE} (?P<period>days?|weeks?|months?)(?P<upto>)(?= ?$)", _Reading.take_length)
    yield phrase(rf"(?:(?P<route>{'|'.join(_ROUTES.values())}))", _Reading.take_route)
    yield phrase(rf"(?:(?:{_VERB}) )?{_RANGE}(?P<unit>)(?= (?:{_AFTER_NUMBER}))", _Reading.take_dose)
    yield phrase(r"(?:and )?(?:with|before|after) (?:the )?meals", _Reading.take_meals)
    yield phrase(rf"{_VERB}|{_FILLERS}", _Reading.take_nothing)
    reason = "|".join(sorted(_REASON, key=len, reverse=True))
    yield (
        phrase(rf"(?:(?:for|due to) )?(?P<reason>(?:{reason})(?:[ /-]+(?:{reason})(?![a-z]))*)", _Reading.take_reason)
    )


# What a number without a unit stands before when it is a dose: "1 bid", "1 po daily".
_AFTER_NUMBER = "|".join(
    [
        *map(re.escape, _COUNTS),
        *"daily once twice weekly nightly nocte po orally sl prn every hs qhs at".split(),
        *(r"by mouth", r"as needed", r"in the", r"q ?\d", r"q ?hs", r"\d times"),
    ]
)
_PHRASES = tuple(_phrases())
