"""What is kept of a request decides the same, and holds nothing of what was written in it."""

from dataclasses import replace
from fractions import Fraction

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.cases import read_cases
from safety_service.decisions.facts import facts_of, request_of
from safety_service.decisions.outcome import Outcomes
from safety_service.decisions.text_free import known_path, known_words, text_free
from safety_service.domain import CheckRequest, Coding, Frequency, Medication, Patient, to_date
from safety_service.engine.check import check
from safety_service.engine.history import recognised
from safety_service.engine.patient import _age, _age_months
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.decode import InvalidRequestError, decode
from tests.contract.random_requests import requests

NAMES = "Mustermann O'Neill van Dyke Nguyễn 4711 0170-5551234 03/04/1950 1950 free for and not".split(" ")
WORDS = (
    "cyclobenzaprine flexeril 10 mg 10mg tablet hydrochloride er 15 capsule oxycodone-acetaminophen 5-325 tylenol #3 "
    "tizanidine 4 baclofen 5 mg/mL solution diazepam valium or stopped allergic penicillin carisoprodol aspirin codeine"
).split(" ")


@pytest.fixture(scope="module")
def outcomes(knowledge: Knowledge) -> Outcomes:
    return Outcomes(knowledge)


def differs(knowledge: Knowledge, outcomes: Outcomes, request: CheckRequest) -> str:
    """In what way the decision from the facts is another one; "" when it is not."""
    facts = facts_of(knowledge, request)
    again = request_of(orjson.loads(orjson.dumps(facts.document)))
    before, after = check(knowledge, request), check(knowledge, again)
    first, second = outcomes.of(before, facts.swapped), outcomes.of(after, {})
    return "" if first.digest == second.digest or not facts.whole else f"{first}\n{second}"


def test_every_case_is_decided_the_same_from_its_facts(knowledge: Knowledge, outcomes: Outcomes) -> None:
    cases = read_cases()[::80]
    assert len(cases) > 30
    assert all(facts_of(knowledge, each.request).whole for each in cases)
    assert [each.id for each in cases if differs(knowledge, outcomes, each.request)] == []


@pytest.mark.long
def test_really_every_case_is(knowledge: Knowledge, outcomes: Outcomes) -> None:
    assert [each.id for each in read_cases() if differs(knowledge, outcomes, each.request)] == []


@settings(max_examples=max(50, settings().max_examples // 2))
@given(sent=requests())
def test_a_random_request_is_decided_the_same_from_its_facts(
    knowledge: Knowledge, outcomes: Outcomes, sent: CheckPrescriptionRequest
) -> None:
    try:
        request = decode(sent, 20_700).request
    except InvalidRequestError:
        assume(False)
        raise
    assert differs(knowledge, outcomes, request) == ""


drug_texts = st.lists(st.sampled_from(WORDS + NAMES), max_size=6).map(" ".join)
drugs = st.builds(
    Medication,
    st.lists(
        st.builds(
            Coding,
            st.sampled_from(
                ["http://www.nlm.nih.gov/research/umls/rxnorm", "http://www.whocc.no/atc", "urn:Mustermann"]
            ),
            st.sampled_from(["828348", "1049621", "M03BX08", "Mustermann", "N05BA", "99999999"]),
            drug_texts,
        ),
        max_size=2,
    ).map(tuple),
    drug_texts,
)


@settings(max_examples=max(50, settings().max_examples // 2))
@given(drug=drugs, order=drugs)
def test_a_drug_is_the_same_drug_without_the_words_that_nobody_knows(
    knowledge: Knowledge, outcomes: Outcomes, request_sent: CheckRequest, drug: Medication, order: Medication
) -> None:
    kept = text_free(knowledge.names, drug)
    told = str(kept.medication).casefold()
    assert not [name for name in ("mustermann", "neill", "dyke", "nguy", "4711", "5551234", "1950") if name in told]
    assert text_free(knowledge.names, kept.medication).whole
    if kept.whole:
        assert recognised(knowledge.names, drug).names == recognised(knowledge.names, kept.medication).names
    item = replace(request_sent.patient.medications.items[0], medication=drug)
    patient = replace(request_sent.patient, medications=replace(request_sent.patient.medications, items=(item,)))
    prescription = replace(request_sent.prescription, medication=order)
    request = replace(request_sent, patient=patient, prescription=prescription)
    assert differs(knowledge, outcomes, request) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Cyclobenzaprine hydrochloride 10 MG Oral Tablet",
        "Flexeril 10",
        "oxycodone-acetaminophen 5-325",
        "Tylenol #3",
        "baclofen 5 mg/5 mL solution",
        "metaxalone 800MG TAB",
        "diazepam 1,000 mcg",
    ],
)
def test_the_usual_names_of_drugs_stay_whole(knowledge: Knowledge, text: str) -> None:
    assert text_free(knowledge.names, Medication(text=text)).whole
    assert "zzqx" not in known_words(knowledge.names, text)


@given(
    born=st.integers(-25_000, 20_700),
    width=st.integers(0, 400),
    ordered=st.integers(20_701, 20_760),
)
def test_a_birth_date_keeps_the_age_and_not_the_day(
    knowledge: Knowledge, request_sent: CheckRequest, born: int, width: int, ordered: int
) -> None:
    patient = replace(request_sent.patient, born_earliest=born, born_latest=min(born + width, 20_700), age_years=None)
    order = replace(request_sent.prescription, ordered_on=ordered)
    request = replace(request_sent, patient=patient, prescription=order)
    again = request_of(orjson.loads(orjson.dumps(facts_of(knowledge, request).document)))

    assert _age(again.patient, ordered) == _age(request.patient, ordered)
    assert _age_months(again.patient, ordered) == _age_months(request.patient, ordered)
    assert again.patient.born_earliest is not None
    assert to_date(again.patient.born_earliest).day == 1


def test_a_frequency_to_the_minute_comes_back(knowledge: Knowledge, request_sent: CheckRequest) -> None:
    often = Frequency(1, 2, Fraction(45, 60))  # type: ignore[arg-type]
    request = replace(request_sent, prescription=replace(request_sent.prescription, frequency=often))
    document = orjson.loads(orjson.dumps(facts_of(knowledge, request).document))
    assert request_of(document).prescription.frequency == often
    assert request_of(document).patient != Patient()


def test_ids_keep_their_order_and_who_is_who(knowledge: Knowledge, request_sent: CheckRequest) -> None:
    first = request_sent.patient.medications.items[0]
    items = tuple(
        replace(first, id=each, prescriber_id=who)
        for each, who in [("z", "dr-a"), ("", ""), ("a", "dr-b"), ("z", "dr-a")]
    )
    patient = replace(request_sent.patient, medications=replace(request_sent.patient.medications, items=items))
    order = replace(request_sent.prescription, id="m", prescriber_id="dr-b")
    kept = request_of(facts_of(knowledge, replace(request_sent, patient=patient, prescription=order)).document)
    last, none, early, again = kept.patient.medications.items

    assert none.id == none.prescriber_id == ""
    assert early.id < kept.prescription.id < last.id == again.id
    assert last.prescriber_id == again.prescriber_id != early.prescriber_id == kept.prescription.prescriber_id


def test_very_many_ids_keep_their_order(knowledge: Knowledge, request_sent: CheckRequest) -> None:
    first = request_sent.patient.medications.items[0]
    items = tuple(replace(first, id=f"{each:05}") for each in range(1200))
    patient = replace(request_sent.patient, medications=replace(request_sent.patient.medications, items=items))
    kept = request_of(facts_of(knowledge, replace(request_sent, patient=patient)).document)
    found = [each.id for each in kept.patient.medications.items]
    assert found == sorted({*found})


def test_what_is_understood_stays_and_the_rest_is_made_up(knowledge: Knowledge, request_sent: CheckRequest) -> None:
    def kept(route: str, sig: str) -> tuple[str, str]:
        order = replace(request_sent.prescription, route=route, dosage_text=sig)
        held = facts_of(knowledge, replace(request_sent, prescription=order)).document["prescription"]
        return held.get("route", ""), held.get("dosage_text", "")

    assert kept("IV", "1 tab PO TID") == ("iv", "1 tab PO TID")
    assert kept("p.o. —", "")[0] == "p o"
    for strange in ("oral Иван Петров", "po 王小明", "王小明"):
        assert kept(strange, "")[0] == "zzqx"
    assert kept("by Mustermann", "1 tab for Mustermann") == ("zzqx", "zzqx")
    assert kept("", "") == ("", "")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("patient.medications.items[3].medication", "patient.medications.items[3].medication"),
        ("prescription.medication", "prescription.medication"),
        ("prefetch.medications.entry[0].resource.medicationReference", ""),
        ("prefetch.john_smith", ""),
        ("parameter[0].resource.dispenseRequest.quantity", ""),
        ("patient." + "a" * 200 + "A", ""),  # at once: a pattern that tries every way of cutting it would never end
    ],
)
def test_only_places_of_the_contract_are_kept(path: str, kept: str) -> None:
    assert known_path(path) == kept
