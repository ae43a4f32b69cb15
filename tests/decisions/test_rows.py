"""The rows of facts hold every field, in places that stay, and say the same as the fields by name."""

from dataclasses import fields

import orjson
import pytest

from safety_service.decisions.facts import facts_of, request_of
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import read_record
from safety_service.decisions.rows import KINDS, LEFT_OUT, PLACES, named
from safety_service.decisions.segment import read, segments
from safety_service.domain import CheckRequest
from safety_service.knowledge.knowledge import Knowledge
from tests.decisions.conftest import Decide

# As they were first written: what stands here is read from old records by its place, so only appending is allowed.
FIRST = {
    "facts": "as_of prescription patient prior_overrides not_processed",
    "prescription": (
        "medication id kind dose_low dose_high frequency as_needed dosage_text route ordered_on start end days_supply "
        "quantity refills indications status last_dose benefit_documented prescriber_id last_order tapering daily_most"
    ),
    "patient": (
        "id born_earliest born_latest age_years sex pregnant lactating hepatic renal conditions medications allergies "
        "alcohol_use drives_or_operates_machinery falls care spasticity_needed_for_function cyp2c19_reduced"
    ),
    "hepatic": "grade child_pugh_class child_pugh labs",
    "child_pugh": "bilirubin albumin inr ascites encephalopathy",
    "renal": "egfr crcl dialysis",
    "condition": "codings status onset recorded_on id",
    "medication": (
        "medication id kind status known_on start end days_supply quantity refills dose_low dose_high frequency "
        "as_needed indications prescriber_id"
    ),
    "allergy": "substance status id",
    "lab": "test value upper_limit on",
    "care": "option_id outcome on",
}


@pytest.mark.parametrize("kind", FIRST)
def test_places_are_only_appended(kind: str) -> None:
    first = tuple(FIRST[kind].split(" "))
    assert PLACES[kind][: len(first)] == first
    assert len(set(PLACES[kind])) == len(PLACES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_place_or_is_left_out_on_purpose(kind: str) -> None:
    held = {each.name for each in fields(KINDS[kind])}
    assert held == {*PLACES[kind]} | LEFT_OUT.get(kind, set())
    assert not {*PLACES[kind]} & LEFT_OUT.get(kind, set())


def test_a_row_that_ends_early_leaves_the_rest_unsaid() -> None:
    assert named([""], "care") == {}
    assert named(["heat", 3], "care") == {"option_id": "heat", "outcome": 3}


def test_what_is_said_by_nobody_is_left_out_and_what_is_said_stays() -> None:
    said = named([None, None, 0], "renal"), named([0, 30.5, 1], "renal")
    assert said == ({}, {"egfr": 0, "crcl": 30.5, "dialysis": 1})
    assert named([{}, "", 0], "medication") == {"medication": {}}


def test_a_record_is_read_by_name_and_its_segment_tells_the_places(
    log: DecisionLog, decide: Decide, knowledge: Knowledge, request_sent: CheckRequest
) -> None:
    decide()
    (path,) = segments(log.folder)
    opening, frame = (orjson.loads(each.payload) for each in read(path))
    (record,) = [read_record(each.payload) for each in read(path) if each.number]

    assert {kind: tuple(names) for kind, names in opening["places"].items()} == PLACES
    assert frame["facts"][0] == record["facts"]["as_of"] == request_sent.as_of
    assert record["facts"] == facts_of(knowledge, request_sent).document
    assert request_of(record["facts"]).prescription.refills == request_sent.prescription.refills
