"""Sigs as written: what is read is right, and what is not understood is not read."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.dosage_text import Confidence, Dose, Length, Often, Sig, a_day, read_dosage_text

DATA = Path(__file__).parent / "data" / "sigs"
NONE, LOW, HIGH = Confidence.NONE, Confidence.LOW, Confidence.HIGH
DAILY = Often(1, 1, 1, 1, "d")


def one(unit: str, low: float = 1, high: float | None = None) -> Dose:
    return Dose(low, low if high is None else high, unit)


def times(count: int, unit: str = "d") -> Often:
    return Often(count, count, 1, 1, unit)


def every(low: float, high: float | None = None, unit: str = "h") -> Often:
    return Often(1, 1, low, low if high is None else high, unit)


READ: dict[str, tuple[Dose | None, Often | None, bool, Length | None]] = {
    "1 tab PO TID": (one("{tbl}"), times(3), False, None),
    "1 tab po t.i.d. x 10 days": (one("{tbl}"), times(3), False, Length(10, 10, "d")),
    "Take one tablet by mouth three times a day for 14 days": (one("{tbl}"), times(3), False, Length(14, 14, "d")),
    "take 1 to 2 tablets by mouth every 4-6 hours as needed for lower back pain": (
        one("{tbl}", 1, 2), every(4, 6), True, None
    ),
    "1-2 tabs q6h prn muscle spasm": (one("{tbl}", 1, 2), every(6), True, None),
    "10 mg q8h": (one("mg", 10), every(8), False, None),
    "Take 350mg by mouth four times daily": (one("mg", 350), times(4), False, None),
    "take half a tablet at bedtime": (one("{tbl}", 0.5), DAILY, False, None),
    "1/2 tab qhs": (one("{tbl}", 0.5), DAILY, False, None),
    "1½ tablets twice daily": (one("{tbl}", 1.5), times(2), False, None),
    "one and a half tablets bid": (one("{tbl}", 1.5), times(2), False, None),
    "2 capsules every other day": (one("{cap}", 2), every(2, unit="d"), False, None),
    "1 tablet q.o.d.": (one("{tbl}"), every(2, unit="d"), False, None),
    "1 tablet once a week": (one("{tbl}"), times(1, "wk"), False, None),
    "1 tablet in the morning and 1 tablet at bedtime": (one("{tbl}"), times(2), False, None),
    "1 tablet morning and night": (one("{tbl}"), times(2), False, None),
    "5 mL bid x 2 weeks": (one("mL", 5), times(2), False, Length(14, 14, "d")),
    "1 tablet up to 3 times daily": (one("{tbl}"), Often(1, 3, 1, 1, "d"), False, None),
    "1 tab tid with food": (one("{tbl}"), times(3), False, None),
    "1 tablet three times daily with meals": (one("{tbl}"), times(3), False, None),
    "1 tab bid prn pain for 5 days": (one("{tbl}"), times(2), True, Length(5, 5, "d")),
    "1 tablet daily for 1 month": (one("{tbl}"), DAILY, False, Length(1, 1, "mo")),
    "1 tablet daily for 2-3 weeks": (one("{tbl}"), DAILY, False, Length(14, 21, "d")),
    "Take 1 capsule by mouth twice daily (every 12 hours)": (one("{cap}"), times(2), False, None),
    "take 2 two tablets 3 three times a day": (one("{tbl}", 2), times(3), False, None),
    "1,000 mg daily": (one("mg", 1000), DAILY, False, None),
    "every 8 hours": (None, every(8), False, None),
    "2 tablets": (one("{tbl}", 2), None, False, None),
}  # fmt: skip


@pytest.mark.parametrize("sig", READ)
def test_read(sig: str) -> None:
    for each in (sig, sig.upper(), f"  {sig} .", sig.replace(" ", "  ")):
        read = read_dosage_text(each)
        assert read.confidence is HIGH, read.why_not
        assert (read.dose, read.often, read.as_needed, read.length) == READ[sig]
        assert read.assumptions == ()


ASSUMED = {
    "1 bid": "taken as pieces",
    "1-2 po q6h prn": "taken as pieces",
    "2 tablets (10 mg) daily": "of one piece or of all",
    "1 tablet daily for up to 10 days": "up to a length",
}


@pytest.mark.parametrize("sig", ASSUMED)
def test_what_is_taken_as_meant_is_stated(sig: str) -> None:
    read = read_dosage_text(sig)
    assert read.confidence is LOW
    (assumed,) = read.assumptions
    assert ASSUMED[sig] in assumed


# What a guess would get wrong.
NOT_READ = {
    "": "empty",
    "as directed": "neither dose nor frequency",
    "use as directed": "neither",
    "do not take 1 tablet daily": "from the word 1",
    "stop 1 tab daily": "from the word 1",
    "1 tab daily except sunday": "from the word 4",
    "1 tab bid unless drowsy": "from the word 4",
    "1 tab tid, not for pain": "from the word 4",
    "1 tablet on monday and friday": "from the word 3",
    "1 tab bid then 1 tab daily": "several steps",
    "2 tabs daily for 2 days, followed by 1 tab daily": "several steps",
    "taper as directed": "several steps",
    "1 tablet bid alternating with 2 tablets": "several steps",
    "take 40mg x 2 days 30mg x 2 days": "several doses",
    "1 tab in the morning and 2 tabs at bedtime": "several doses",
    "1 tab bid every 8 hours": "several frequencies",
    "1 tablet twice daily in the evening": "times of day differ",
    "1 tablet with meals": "each meal",
    "one/two tablets daily": "fraction or a choice",
    "2 x 10 mg tablets daily": "from the word 1",
    "2 bid x1": "from the word 3",
    "5 to 2 tabs daily": "cannot be",
    "1/0 tab daily": "cannot be",
    "0 tablets daily": "cannot be",
    "1 tablet daily for 3 days for 5 days": "several lengths",
    "1 tablet od": "from the word 3",  # once a day, or right eye
    "tome una tableta tres veces al día": "from the word 1",
    "1 tab prn cada noche": "from the word 4",
    "1 Tablette dreimal täglich": "from the word 1",
    "1 comprimé par jour": "from the word 1",
    "Tkae 1 tabet 3 tiems a day": "from the word 1",
    "1 tablet 1.5 times daily": "part of a time",
    "1 tab daily po sl": "several routes",
    "x" * 1001: "longer than",
}


@pytest.mark.parametrize("sig", NOT_READ)
def test_not_read(sig: str) -> None:
    read = read_dosage_text(sig)
    assert read == Sig(NONE, why_not=read.why_not)
    assert NOT_READ[sig] in read.why_not
    assert not any(word in read.why_not for word in ("drowsy", "sunday", "noche"))  # nothing of the sig is repeated


@given(st.text(max_size=200))
def test_any_text_is_read_or_not(text: str) -> None:
    read = read_dosage_text(text)
    assert (read.confidence is NONE) == bool(read.why_not)


UNITS = {"tablet": "{tbl}", "tablets": "{tbl}", "tab": "{tbl}", "capsules": "{cap}", "mg": "mg", "mL": "mL"}
FREQUENCIES = {
    "bid": times(2),
    "three times a day": times(3),
    "4 times daily": times(4),
    "every 6 hours": every(6),
    "q4-6h": every(4, 6),
    "daily": DAILY,
    "every 2 days": every(2, unit="d"),
    "twice a week": times(2, "wk"),
    "at bedtime": DAILY,
}


@st.composite
def sigs(draw: st.DrawFn) -> tuple[str, Sig]:
    """A sig put together from its meaning."""
    low = draw(st.integers(1, 40))
    high = draw(st.sampled_from([low, low + 1]))
    word = draw(st.sampled_from(sorted(UNITS)))
    frequency = draw(st.sampled_from(sorted(FREQUENCIES)))
    days = draw(st.one_of(st.none(), st.integers(1, 90)))
    needed = draw(st.booleans())
    route = draw(st.sampled_from(["", "po", "by mouth", "orally"]))
    parts = [draw(st.sampled_from(["", "take", "Take"])), f"{low}" if low == high else f"{low}-{high}", word, route]
    parts += [frequency, "prn" if needed else "", "" if days is None else f"for {days} days"]
    length = None if days is None else Length(days, days, "d")
    meaning = Sig(HIGH, Dose(low, high, UNITS[word]), FREQUENCIES[frequency], needed, length, "oral" if route else "")
    return " ".join(filter(None, parts)), meaning


@given(sigs())
def test_what_was_meant_is_read(made: tuple[str, Sig]) -> None:
    sig, meaning = made
    assert read_dosage_text(sig) == meaning


WORDS = ["not", "never", "unless", "zzz", "except", "skip", "no", "avoid", "nicht", "hasta"]


@given(sigs(), st.sampled_from(WORDS), st.integers(0, 12))
def test_a_word_that_is_not_understood_is_never_passed_over(made: tuple[str, Sig], word: str, place: int) -> None:
    words = made[0].split()
    words.insert(place % (len(words) + 1), word)
    assert read_dosage_text(" ".join(words)).confidence is NONE


# --- gold --------------------------------------------------------------------------------------------------------


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Where the gold of others is wrong or of something else, as read by a person: (sig, why).
GOLD_IS_WRONG = {
    ("2 puffs bid", "4"): "bid is 2",
    ("1 tab qd", "2"): "qd is 1",
    ("1 cap once a week", "1"): "its dose says 2",
}


def smart() -> Counter[str]:
    """The dose and how often a day, of 363 prescriptions made up by the SMART project."""
    found: Counter[str] = Counter()
    for row in rows("smart_meds_gold"):
        if not row["sig"] or not row["gold_freq"]:
            continue
        read = read_dosage_text(row["sig"])
        if read.confidence is NONE:
            found["not read"] += 1
            continue
        a_week = {"/d": 7, "/wk": 1}[row["gold_freq_unit"]]
        often = None if read.often is None else round(a_day(read.often)[1] * 7, 3)
        dose = None if read.dose is None else read.dose.high
        right = often == float(row["gold_freq"]) * a_week and row["gold_dose"] in (
            "",
            "" if dose is None else f"{dose:g}",
        )
        if not right and (row["sig"], row["gold_freq"]) in GOLD_IS_WRONG:
            continue
        found["right" if right else "wrong"] += 1
    return found


def parsigs() -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows("parsigs_gold"):
        gold: list[dict[str, Any]] = json.loads(row["gold"])
        read = read_dosage_text(row["sig"])
        if read.confidence is NONE:
            found["not read"] += 1
            continue
        assert len(gold) == 1, row["sig"]  # several steps are not read
        (meant,) = gold
        days = {"Hour": 1 / 24, "Day": 1, "Week": 7, "Month": 30, None: None}[meant["frequencyType"]]
        most = None if days is None else (meant["times"] or 1) / ((meant["interval"] or 1) * days)
        length = None
        if meant["periodType"]:
            weeks = 7 if meant["periodType"] == "Week" else 1
            length = (meant["periodAmount"] * weeks, "mo" if meant["periodType"] == "Month" else "d")
        same = (
            (None if read.often is None else a_day(read.often)[1]) == pytest.approx(most)
            and (read.dose and read.dose.high) == meant["singleDosageAmount"]
            and (read.length and (read.length.high, read.length.unit)) == length
            and read.as_needed == meant["takeAsNeeded"]
        )
        found["right" if same else "wrong"] += 1
    return found


def phs() -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows("phs_gold"):
        if row["source"] != "phs_conftest":
            continue  # tests of parts, not of sigs
        gold = json.loads(row["gold"])
        read = read_dosage_text(row["sig"])
        if read.confidence is NONE:
            found["not read"] += 1
            continue
        assert read.dose is not None
        assert read.often is not None
        same = (read.dose.low, read.dose.high) == (gold["dosageMin"], gold["dosageMax"])
        same &= (read.often.low, read.often.high) == (gold["frequencyMin"], gold["frequencyMax"])
        same &= read.as_needed == gold["asRequired"]
        found["right" if same else "wrong"] += 1
    return found


# The structure of these examples of FHIR says something else than their text: (sig, why).
STRUCTURE_IS_WRONG = {
    "One tablet daily for 4 days": "frequency 4",
    "Use two sprays twice daily": "dose 1 ea",
    "one tablet one time daily in the morning for rib pain": "dose 1 to 2",
    "Before Breakfast": "the dose is not in the text",
}


def fhir() -> Counter[str]:
    found: Counter[str] = Counter()
    for sig, text in {(row["sig"], row["gold"]) for row in rows("fhir_r4_gold")}:
        gold = json.loads(text)
        repeat = gold.get("timing", {}).get("repeat", {})
        read = read_dosage_text(sig)
        if read.confidence is NONE:
            found["not read"] += 1
            continue
        if sig in STRUCTURE_IS_WRONG:
            continue
        same = True
        if "frequency" in repeat and read.often is not None:
            low, high = repeat["period"], repeat.get("periodMax", repeat["period"])
            meant = Often(repeat["frequency"], repeat["frequency"], low, high, repeat["periodUnit"])
            same &= a_day(read.often) == pytest.approx(a_day(meant))
        for each in gold.get("doseAndRate", []):
            held = (each or {}).get("doseQuantity")
            if held is None or read.dose is None:
                continue
            if (read.dose.unit[0] == "{") == (held.get("code", "") in ("TAB", "tab", "patch")):
                same &= read.dose.high == held["value"]
        found["right" if same else "wrong"] += 1
    return found


def parserx() -> Counter[str]:
    """Sigs without gold, as written in pharmacies: how many are read."""
    return Counter(
        "not read" if read_dosage_text(row["sig"]).confidence is NONE else "read" for row in rows("parserx_input")
    )


GOLD = {"smart": (smart, 284), "parsigs": (parsigs, 10), "phs": (phs, 3), "fhir": (fhir, 24), "parserx": (parserx, 150)}


@pytest.mark.parametrize("name", GOLD)
def test_gold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is read wrongly; how much is read is printed, and does not become less."""
    count, least = GOLD[name]
    found = count()
    with capsys.disabled():
        print(f"\nsigs of {name}: {', '.join(f'{number} {what}' for what, number in sorted(found.items()))}")
    assert found["wrong"] == 0
    assert found["right"] + found["read"] >= least
