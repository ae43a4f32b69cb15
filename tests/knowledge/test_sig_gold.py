"""Sigs of strangers, with what their own projects say they mean: how many are read alike, otherwise, or not at all.

Run with `-s` to see the table. "Wrong" must stay at none but where the gold itself is wrong, each of which is named.
"""

from __future__ import annotations

import csv
import json
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safety_service.domain import Answer
from safety_service.knowledge.load import load_knowledge
from safety_service.knowledge.sig import PIECES, Sig, read_sig, sig_words_of
from safety_service.knowledge.sig_words import SigWords

SIGS = Path(__file__).parents[1] / "data" / "sigs"
HOURS = {"h": 1, "d": 24, "wk": 168, "Hour": 1, "Day": 24, "Week": 168, "/d": 24, "/wk": 168}
DAYS = {"Day": 1, "Week": 7}


class Gold(NamedTuple):
    """What a sig means as its project has it; None: it does not say."""

    sig: str
    dose: tuple[float, float, str] | None = None  # low, high, unit: "piece", UCUM, or another name
    rate: tuple[float, float] | None = None  # fewest and most in an hour
    days: tuple[int, int] | None = None
    as_needed: bool | None = None
    steps: int = 1


# Sigs whose gold says otherwise than their words, and in how many rows: these are not counted as ours.
GOLD_IS_WRONG = {
    "1 tab qd": 1,  # twice a day; 23 other rows of the same words: once
    "1 cap once a week": 1,  # 2 capsules; two other rows: 1
    "One tablet daily for 4 days": 2,  # four times a day
    "one tablet one time daily in the morning for rib pain": 1,  # 1 to 2 tablets
    "Before Breakfast": 1,  # 10 units, which the words do not say
}


@cache
def words() -> SigWords:
    return load_knowledge().sig_words


def rows(name: str) -> list[dict[str, str]]:
    with (SIGS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def smart() -> Iterator[Gold]:
    for row in rows("smart_meds_gold.csv"):
        dose = rate = None
        if row["gold_dose"]:
            unit = "piece" if row["gold_unit"] == "{tablet}" else row["gold_unit"]
            dose = float(row["gold_dose"]), float(row["gold_dose"]), unit
        if row["gold_freq"]:
            rate = (float(row["gold_freq"]) / HOURS[row["gold_freq_unit"]],) * 2
        yield Gold(row["sig"], dose, rate)


def parsigs() -> Iterator[Gold]:
    for row in rows("parsigs_gold.csv"):
        steps = json.loads(row["gold"])
        first: dict[str, Any] = steps[0]
        amount, rate, days = first["singleDosageAmount"], None, None
        if first["frequencyType"] in HOURS:
            rate = ((first["times"] or 1) / (first["interval"] * HOURS[first["frequencyType"]]),) * 2
        if first["periodType"] in DAYS:
            days = (first["periodAmount"] * DAYS[first["periodType"]],) * 2
        unit = first["form"] if first["form"] == "puff" else "piece"
        yield Gold(row["sig"], (amount, amount, unit), rate, days, first["takeAsNeeded"], len(steps))


def phs() -> Iterator[Gold]:
    for row in rows("phs_gold.csv"):
        gold = row["gold"]
        if row["source"] == "phs_conftest":
            said: dict[str, Any] = json.loads(gold)
            hours, dose, days = HOURS[said["frequencyType"]], None, None
            if said["dosageMin"] is not None:
                unit = "puff" if said["form"] == "puff" else "piece"
                dose = said["dosageMin"], said["dosageMax"], unit
            if said["durationMin"] is not None:
                span = DAYS[said["durationType"]]
                days = int(said["durationMin"] * span), int(said["durationMax"] * span)
            rate = said["frequencyMin"] / hours, said["frequencyMax"] / hours
            yield Gold(row["sig"], dose, rate, days, said["asRequired"])
        elif gold.startswith("test_get_frequency_info"):
            low, high, period = literal_eval(gold.partition(": ")[2])
            count, _, unit = (period or "").rpartition(" ")
            if unit in HOURS:
                hours = int(count or 1) * HOURS[unit]
                yield Gold(row["sig"], rate=(low / hours, high / hours))
        elif gold.startswith("test_get_duration_info"):
            low, high, unit = literal_eval(gold.partition(": ")[2])
            if unit in DAYS and low:
                yield Gold(row["sig"], days=(int(low * DAYS[unit]), int(high * DAYS[unit])))


def fhir() -> Iterator[Gold]:
    for row in rows("fhir_r4_gold.csv"):
        said: dict[str, Any] = json.loads(row["gold"])
        repeat = said.get("timing", {}).get("repeat", {})
        rate, dose, needed = None, None, None
        if "frequency" in repeat and repeat.get("periodUnit") in HOURS:
            hours = HOURS[repeat["periodUnit"]]
            longest = repeat.get("periodMax", repeat["period"])
            most = repeat.get("frequencyMax", repeat["frequency"])
            rate = repeat["frequency"] / (longest * hours), most / (repeat["period"] * hours)
        for each in said.get("doseAndRate", []):
            low = each.get("doseRange", {}).get("low") or each.get("doseQuantity")
            high = each.get("doseRange", {}).get("high") or each.get("doseQuantity")
            if low and high:
                code = high.get("code", "")
                dose = low["value"], high["value"], "piece" if code in ("TAB", "tab", "CAP") else code
        if "asNeededBoolean" in said or "asNeededCodeableConcept" in said:
            needed = bool(said.get("asNeededBoolean", True))
        yield Gold(row["sig"], dose, rate, as_needed=needed)


def differences(gold: Gold, sig: Sig) -> list[str]:
    """In what a sig that was read differs from its gold; only what both say is compared."""
    found = []
    if gold.steps > 1:
        found.append("more than one step")
    if gold.dose is not None and sig.dose_low is not None and sig.dose_high is not None:
        read = {("piece" if sig.dose_high.unit in PIECES else sig.dose_high.unit): (sig.dose_low, sig.dose_high)}
        if sig.stated_mass is not None:
            read[sig.stated_mass.unit] = sig.stated_mass, sig.stated_mass
        low, high, unit = gold.dose
        unit = {"ml": "mL", "mcg": "ug"}.get(unit, unit)
        if unit not in read or (read[unit][0].value, read[unit][1].value) != (low, high):
            found.append("dose")
    if gold.rate is not None and sig.frequency is not None:
        often = sig.frequency
        mine = often.times_low / often.period_hours, often.times_high / often.period_hours
        if mine != pytest.approx(gold.rate):
            found.append("frequency")
    if gold.days is not None and sig.days is not None and sig.days != gold.days:
        found.append("days")
    if gold.as_needed is not None and sig.as_needed is not Answer.UNKNOWN:
        found += ["as needed"] * (gold.as_needed != (sig.as_needed is Answer.YES))
    return found


def missed(gold: Gold, sig: Sig) -> bool:
    """Whether a sig was used and something its gold says was not seen."""
    lost = gold.dose is not None and sig.dose_high is None
    lost |= gold.rate is not None and sig.frequency is None
    lost |= gold.days is not None and sig.days is None
    return lost or (gold.as_needed is True and sig.as_needed is not Answer.YES)


# file, sigs with gold, how many of them at least are read as the gold has it
@pytest.mark.parametrize(
    ("name", "golds", "at_least"),
    [("smart_meds", smart, 254), ("parsigs", parsigs, 8), ("phs", phs, 6), ("fhir_r4", fhir, 21)],
)
def test_gold(name: str, golds: Any, at_least: int, capsys: pytest.CaptureFixture[str]) -> None:
    count: Counter[str] = Counter()
    wrong: list[str] = []
    disputed: Counter[str] = Counter()
    for gold in golds():
        if gold.dose is None and gold.rate is None and gold.days is None and gold.as_needed is None:
            count["without gold"] += 1
            continue
        sig = read_sig(words(), gold.sig)
        if not sig.usable:
            count["refused"] += 1
        elif (differ := differences(gold, sig)) or missed(gold, sig):
            disputed[gold.sig] += 1
            if disputed[gold.sig] <= GOLD_IS_WRONG.get(gold.sig, 0):
                count["gold wrong"] += 1
            else:
                count["wrong"] += 1
                wrong.append(f"{gold.sig!r}: {differ or 'missed'}; read: {sig_words_of(sig)}; gold: {gold}")
        else:
            count["correct"] += 1
    with capsys.disabled():
        print(f"\n  {name}: {dict(count)}", *wrong, sep="\n    ")
    assert wrong == []
    assert count["correct"] >= at_least


def test_sigs_without_gold_are_read_as_they_were_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    count: Counter[str] = Counter()
    for row in rows("parserx_as_read.csv"):
        sig = read_sig(words(), row["sig"])
        assert (sig_words_of(sig) if sig.usable else "") == row["as_read"], row["sig"]
        count["read" if sig.usable else "refused"] += 1
    with capsys.disabled():
        print(f"\n  parserx: {dict(count)}")
    assert count["read"] >= 115
