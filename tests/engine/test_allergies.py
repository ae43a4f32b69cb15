"""The list of allergies: each fact against its definition, written out by hand for a few substances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import (
    Allergy,
    CheckRequest,
    Coding,
    Completeness,
    ConditionStatus,
    Listed,
    Medication,
    NotProcessed,
    Patient,
    Prescription,
)
from safety_service.engine.allergies import Allergies, put_allergies, read_allergies
from safety_service.engine.check import check
from safety_service.engine.history import recognised
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES, unknown_facts

ATC = "http://www.whocc.no/atc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
COMPLETE = Completeness.COMPLETE
FACTS = ("allergy_to_drug", "allergy_to_carbamate", "allergy_to_other_ingredient", "any_drug_allergy")
ORDER = Prescription(Medication(text="carisoprodol 350 mg tablet"), start=1000)


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def substance(written: str) -> Medication:
    if written.startswith("atc "):
        return Medication((Coding(ATC, written.removeprefix("atc ")),))
    return Medication(text=written)


def read(listed: Listed[Allergy]) -> tuple[Allergies, list[NotProcessed]]:
    not_processed: list[NotProcessed] = []
    request = CheckRequest(ORDER, Patient(allergies=listed), 1000)
    return read_allergies(knowledge(), request, not_processed, []), not_processed


def put(
    listed: Listed[Allergy], line: str = "carisoprodol", ordered: str = "carisoprodol"
) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """The facts and what is behind each."""
    allergies, _ = read(listed)
    values = unknown_facts()
    resolution = recognised(knowledge().names, Medication(text=ordered))
    evidence = put_allergies(knowledge(), allergies, resolution, knowledge().lines[line], values)
    return {name: values[SLOTS[name]] for name in FACTS}, evidence


def complete(*written: str) -> Listed[Allergy]:
    return Listed(tuple(Allergy(substance(each), id=f"allergy-{i}") for i, each in enumerate(written)), COMPLETE)


# --- the definition ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meant:
    """What a pharmacist reads in an entry. `holds` and `may_be_carbamate` are of a class that is not told further."""

    drugs: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    carbamate: bool = False  # one other than carisoprodol
    may_be_carbamate: bool = False
    unknown: bool = False
    named: bool = True  # by what it is made of, and not by a code of a class

    @property
    def known(self) -> bool:
        return not self.unknown or bool(self.drugs)


def _meant(drugs: str = "", carbamate: bool = False, unknown: bool = False) -> Meant:
    return Meant(frozenset(drugs.split()), carbamate=carbamate, unknown=unknown)


def _class(holds: str = "", carbamate: bool = False, may_be_carbamate: bool = False) -> Meant:
    return Meant(frozenset(), frozenset(holds.split()), carbamate, may_be_carbamate, named=False)


MEANT = {
    "carisoprodol": _meant("carisoprodol"),
    "Soma": _meant("carisoprodol"),
    "meprobamate": _meant("meprobamate", carbamate=True),
    "methocarbamol": _meant("methocarbamol", carbamate=True),
    "metaxalone": _meant("metaxalone"),
    "diazepam": _meant("diazepam"),
    "aspirin": _meant("aspirin"),
    "codeine": _meant("codeine"),
    "carisoprodol / aspirin / codeine": _meant("carisoprodol aspirin codeine"),
    "meprobamate / aspirin": _meant("meprobamate aspirin", carbamate=True),
    "zzyzxin": _meant(unknown=True),
    "aspirin / zzyzxin": _meant("aspirin", unknown=True),
    "atc M03BA02": _meant("carisoprodol"),
    "atc N05BC01": _meant("meprobamate", carbamate=True),
    # metaxalone has no ATC code: it could stand in any group of the relaxants
    "atc M03BA": _class("carisoprodol methocarbamol metaxalone", carbamate=True),
    "atc M03B": _class("carisoprodol methocarbamol metaxalone", may_be_carbamate=True),
    "atc M": _class("carisoprodol methocarbamol metaxalone", may_be_carbamate=True),
    "atc N05B": _class("diazepam", may_be_carbamate=True),
    "atc N05BC": _class(carbamate=True),
    "atc J01C": _class(),
}
LINES = ("carisoprodol", "methocarbamol", "metaxalone", "metaxalone-640", "diazepam")
COUNT = {ConditionStatus.UNSPECIFIED, ConditionStatus.ACTIVE, ConditionStatus.RECURRENCE, ConditionStatus.RELAPSE}
ENTRIES = st.tuples(
    st.sampled_from(sorted(MEANT)),
    st.sampled_from([ConditionStatus.UNSPECIFIED, ConditionStatus.ACTIVE, *ConditionStatus]),
)


@given(
    st.lists(ENTRIES, max_size=4),
    st.sampled_from([COMPLETE, COMPLETE, Completeness.PARTIAL, Completeness.UNKNOWN]),
    st.sampled_from(LINES),
    st.sampled_from(["", " / aspirin", " / aspirin / codeine", " / zzyzxin"]),
)
def test_every_fact_is_what_its_definition_says(
    entries: list[tuple[str, ConditionStatus]], completeness: Completeness, line: str, beside: str
) -> None:
    listed = Listed(tuple(Allergy(substance(written), status) for written, status in entries), completeness)
    drug = line.removesuffix("-640")
    counting = [MEANT[written] for written, status in entries if status in COUNT]
    otherwise = NO if completeness is COMPLETE and not any(each.unknown for each in counting) else EITHER
    wanted = dict.fromkeys(FACTS, otherwise)

    if any(drug in each.drugs for each in counting):
        wanted["allergy_to_drug"] = YES
    elif any(drug in each.holds for each in counting):
        wanted["allergy_to_drug"] = EITHER

    if any(each.carbamate and each.drugs != {drug} for each in counting):
        wanted["allergy_to_carbamate"] = YES
    elif any(each.may_be_carbamate for each in counting):
        wanted["allergy_to_carbamate"] = EITHER

    known = [each for each in counting if each.known]
    if known:
        wanted["any_drug_allergy"] = YES

    others = {name for name in ("aspirin", "codeine") if name in beside}
    if any(each.drugs & others for each in counting):
        wanted["allergy_to_other_ingredient"] = YES
    elif not beside:
        wanted["allergy_to_other_ingredient"] = NO
    elif ("zzyzxin" in beside and known) or any(not each.named for each in known):
        wanted["allergy_to_other_ingredient"] = EITHER

    found, evidence = put(listed, line, drug + beside)
    assert found == wanted
    assert [name for name in FACTS if bool(evidence[name]) is not (found[name] == YES)] == []


# --- what is told ------------------------------------------------------------------------------------------------


def test_an_entry_is_referred_to_by_its_id_and_else_by_its_place() -> None:
    with_id, without = Allergy(substance("meprobamate"), id="allergy-9"), Allergy(substance("carisoprodol"))
    _, evidence = put(Listed((with_id, without), COMPLETE))
    assert evidence["allergy_to_carbamate"] == ("allergy-9",)
    assert evidence["allergy_to_drug"] == ("patient.allergies.items[1]",)
    assert evidence["any_drug_allergy"] == ("allergy-9", "patient.allergies.items[1]")


def test_every_entry_behind_a_fact_is_told() -> None:
    ordered = "carisoprodol / aspirin / codeine"
    _, evidence = put(complete("Soma", "aspirin", "meprobamate / aspirin", "codeine", "atc M03BA02"), ordered=ordered)
    assert evidence["allergy_to_drug"] == ("allergy-0", "allergy-4")
    assert evidence["allergy_to_carbamate"] == ("allergy-2",)
    assert evidence["allergy_to_other_ingredient"] == ("allergy-1", "allergy-2", "allergy-3")


def test_what_is_not_recognised_is_named_by_its_place_and_the_rest_still_counts() -> None:
    allergies, told = read(complete("aspirin", "zzyzxin", "codeine / zzyzxin"))
    assert [each.path for each in told] == [
        "patient.allergies.items[1].substance", "patient.allergies.items[2].substance",
    ]  # fmt: skip
    assert not allergies.complete
    assert [sorted(each.ingredients) for each in allergies.entries] == [["aspirin"], ["codeine"]]


def test_an_entry_that_does_not_count_is_not_read() -> None:
    refuted = Allergy(substance("zzyzxin"), ConditionStatus.REFUTED)
    allergies, told = read(Listed((refuted,), COMPLETE))
    assert (allergies, told) == (Allergies((), True), [])


def test_code_and_text_of_one_entry_are_read_together() -> None:
    both = Allergy(Medication((Coding(ATC, "M03BA"),), "carisoprodol"))
    found, _ = put(Listed((both,), COMPLETE))
    assert found["allergy_to_drug"] == YES


@pytest.mark.parametrize(
    ("text", "line", "drug", "carbamate"),
    [
        ("cyclobenzaprine", "cyclobenzaprine-ir", EITHER, NO),
        ("cyclobenzaprine", "baclofen", NO, NO),
        ("carisoprodol", "carisoprodol", EITHER, NO),
        ("meprobamate", "carisoprodol", NO, EITHER),
        ("meprobamate / carisoprodol", "carisoprodol", EITHER, EITHER),
        ("acetaminophen", "cyclobenzaprine-ir", NO, NO),
    ],
)
def test_an_entry_whose_code_and_text_disagree_may_be_either(text: str, line: str, drug: int, carbamate: int) -> None:
    listed = Listed((Allergy(Medication((Coding(RXNORM, "313782"),), text)),), COMPLETE)  # acetaminophen
    conflicts: list[str] = []
    request = CheckRequest(ORDER, Patient(allergies=listed), 1000)
    allergies = read_allergies(knowledge(), request, [], conflicts)
    assert allergies.complete
    assert bool(conflicts) == (text != "acetaminophen")
    assert all(each.startswith("patient.allergies.items[0].substance: code 313782 is") for each in conflicts)
    found, _ = put(listed, line, line.removesuffix("-ir"))
    assert (found["allergy_to_drug"], found["allergy_to_carbamate"]) == (drug, carbamate)
    assert found["any_drug_allergy"] == YES


def test_a_display_that_disagrees_with_its_code_is_no_less_a_text() -> None:
    entry = Allergy(Medication((Coding(RXNORM, "313782", "carisoprodol"),)))
    found, _ = put(Listed((entry,), COMPLETE))
    assert found["allergy_to_drug"] == EITHER


@pytest.mark.parametrize(
    ("listed", "ordered", "path", "told"),
    [
        (Listed(), "carisoprodol", "patient.allergies", "the list of allergies was not sent"),
        (Listed((Allergy(substance("aspirin")),)), "carisoprodol", "patient.allergies", "is not marked complete"),
        (complete("zzyzxin"), "carisoprodol", "patient.allergies", "was not recognised"),
        (complete("atc M03"), "carisoprodol", "patient.allergies", "is a class that holds the drug"),
        (complete("aspirin"), "carisoprodol / zzyzxin", "prescription.medication", "a part of the product"),
    ],
)
def test_what_to_send_is_told(listed: Listed[Allergy], ordered: str, path: str, told: str) -> None:
    request = CheckRequest(Prescription(Medication(text=ordered), start=1000), Patient(allergies=listed), 1000)
    rule = "contraindication.carisoprodol.hypersensitivity"
    (answer,) = [each for each in check(knowledge(), request).checks if each.rule_id == rule]
    assert {each.path for each in answer.missing} == {path}
    assert all(told in each.why for each in answer.missing)
