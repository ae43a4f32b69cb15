"""Every limit that a request is held to, in one place: enforced from here, served by GetKnowledge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it is told to clients."""

    name: str
    value: int
    unit: str
    meaning: str


MIB = 1024 * 1024

REQUEST_BYTES = Limit(
    "request.bytes", 4 * MIB, "bytes", "Size of a request, or of one message of a stream; above it: MESSAGE_TOO_LARGE."
)
METADATA_BYTES = Limit(
    "metadata.bytes",
    16 * 1024,
    "bytes",
    "Metadata of a call, as HTTP/2 counts it; above it the transport answers RESOURCE_EXHAUSTED.",
)
ANSWER_BYTES = Limit("answer.bytes", 4 * MIB, "bytes", "Size of an answer; above it: MESSAGE_TOO_LARGE.")
BATCH_ITEMS = Limit(
    "batch.items", 1000, "items", "Items of a batch; above it the whole batch is refused: TOO_MANY_ITEMS."
)
BATCH_FULL_ITEMS = Limit(
    "batch.items.full",
    100,
    "items",
    "Items of a batch with VIEW_FULL; above it the whole batch is refused: TOO_MANY_ITEMS.",
)
STREAM_IN_FLIGHT = Limit(
    "stream.in_flight", 64, "items", "Items of one stream read and not yet answered; the next ones wait unread."
)
LIST_ITEMS = Limit(
    "list.items", 500, "items", "Items of each list of a patient, and of prior_overrides; above it: TOO_MANY_ITEMS."
)
CODINGS = Limit(
    "codings", 20, "items", "Codings of one medication, condition or care option; above it: TOO_MANY_ITEMS."
)
INDICATIONS = Limit("indications", 20, "items", "Indications of one order or record; above it: TOO_MANY_ITEMS.")
REQUEST_ID = Limit("request_id.characters", 64, "characters", "Length of request_id, printable ASCII.")
NAME_CHARACTERS = Limit(
    "name.characters", 256, "characters", "Length of an id, code, code system, unit, route, digest or fingerprint."
)
TEXT_CHARACTERS = Limit("text.characters", 1000, "characters", "Length of a text, a display or a sig.")
YEAR_FIRST = Limit("date.first_year", 1900, "years", "First year of a date.")
YEAR_LAST = Limit("date.last_year", 2200, "years", "Last year of a date.")
AGE = Limit("age_years", 150, "years", "Greatest age_years; the least is 0.")
DAYS_SUPPLY = Limit("days_supply", 365, "days", "Greatest days_supply; the least is 1.")
REFILLS = Limit("refills", 99, "fills", "Most refills; the least is 0.")
TIMES = Limit("frequency.times", 100, "administrations", "Most administrations in one period; the least is 1.")
PERIOD = Limit("frequency.period", 8784, "hours", "Longest period of a frequency (366 days), above 0.")
LEAST_AMOUNT = Limit("quantity.least", 1, "thousandths of the unit", "Least value of any quantity.")
DOSE_MASS = Limit("dose.mass", 100_000, "mg", "Greatest amount of one administration by mass.")
DOSE_VOLUME = Limit("dose.volume", 10_000, "mL", "Greatest amount of one administration by volume.")
DOSE_COUNT = Limit("dose.count", 1000, "pieces", "Greatest amount of one administration in a countable unit.")
FILL_MASS = Limit("quantity.mass", 10_000_000, "mg", "Greatest amount of one fill by mass.")
FILL_VOLUME = Limit("quantity.volume", 1_000_000, "mL", "Greatest amount of one fill by volume.")
FILL_COUNT = Limit("quantity.count", 10_000, "pieces", "Greatest amount of one fill in a countable unit.")
OTHER_UNITS = Limit(
    "quantity.other",
    1_000_000_000,
    "of the unit",
    "Greatest amount in another unit, or in none: [iU], meq, mmol, ug/h.",
)
LAB_VALUE = Limit("lab.value", 100_000, "of the unit", "Greatest laboratory value.")
INR = Limit("inr", 50, "ratio", "Greatest INR, above 0.")
RENAL = Limit("renal", 1000, "mL/min", "Greatest eGFR or creatinine clearance; the least is 0.")
PAGE = Limit(
    "page_size", 500, "items", "Most items of a page of KnowledgeService; a greater page_size is read as this."
)
VIOLATION_BYTES = Limit(
    "violations.bytes", 4500, "bytes", "Room for the violations of one error; how many there are in all is always told."
)

ALL: tuple[Limit, ...] = (
    REQUEST_BYTES,
    METADATA_BYTES,
    ANSWER_BYTES,
    BATCH_ITEMS,
    BATCH_FULL_ITEMS,
    STREAM_IN_FLIGHT,
    LIST_ITEMS,
    CODINGS,
    INDICATIONS,
    REQUEST_ID,
    NAME_CHARACTERS,
    TEXT_CHARACTERS,
    YEAR_FIRST,
    YEAR_LAST,
    AGE,
    DAYS_SUPPLY,
    REFILLS,
    TIMES,
    PERIOD,
    LEAST_AMOUNT,
    DOSE_MASS,
    DOSE_VOLUME,
    DOSE_COUNT,
    FILL_MASS,
    FILL_VOLUME,
    FILL_COUNT,
    OTHER_UNITS,
    LAB_VALUE,
    INR,
    RENAL,
    PAGE,
    VIOLATION_BYTES,
)

LEAST = LEAST_AMOUNT.value / 1000


@dataclass(frozen=True, slots=True)
class Units:
    """The UCUM units of one field, each with the greatest value in it. Any `{...}` is one too, up to `counted`."""

    greatest: Mapping[str, float]
    counted: int
    accepted: str  # for people


def _amounts(mass: int, volume: int, count: int) -> Units:
    greatest: dict[str, float] = {"ng": mass * 1e6, "ug": mass * 1e3, "mg": mass, "g": mass / 1e3}
    greatest |= {"mL": volume, "ml": volume, "L": volume / 1e3, "l": volume / 1e3, "1": count}
    greatest |= dict.fromkeys(("{tbl}", "{cap}", "{tablet}", "{capsule}", "{pill}", "{puff}", "{patch}"), count)
    greatest |= dict.fromkeys(("", "[iU]", "meq", "mmol", "ug/h", "mg/h"), OTHER_UNITS.value)
    accepted = 'ug, mg, g, mL, L, [iU], meq, mmol, ug/h, mg/h, "1", or a countable in braces such as {tbl}'
    return Units(MappingProxyType(greatest), count, accepted)


def _labs(*units: str) -> Units:
    return Units(MappingProxyType(dict.fromkeys(("", *units), LAB_VALUE.value)), 0, " or ".join(units))


DOSE = _amounts(DOSE_MASS.value, DOSE_VOLUME.value, DOSE_COUNT.value)
FILL = _amounts(FILL_MASS.value, FILL_VOLUME.value, FILL_COUNT.value)
BILIRUBIN = _labs("mg/dL", "umol/L")
ALBUMIN = _labs("g/dL", "g/L")
ENZYME = _labs("U/L")
