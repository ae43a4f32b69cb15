"""Requests from files: every form that is read, and every mistake named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medsafety import CheckPrescriptionRequest
from medsafety.v1.common_pb2 import Answer
from safety_service.demo import ARTICLE_CASE
from safety_service.request_file import UnreadableFileError, read_requests

ROOT = Path(__file__).parents[2]


def ids(content: str, name: str = "") -> list[str]:
    return [each.request_id for each in read_requests(content.encode(), name)]


def wrong(content: str | bytes, name: str = "") -> dict[str, str]:
    """The violations, by path."""
    with pytest.raises(UnreadableFileError) as caught:
        read_requests(content if isinstance(content, bytes) else content.encode(), name)
    found = {each.field: each.reason for each in caught.value.violations}
    assert len(found) == len(caught.value.violations)
    return found


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ('{"requestId": "a"}', "", ["a"]),
        ('  \n{"request_id": "a"}\n\n', "", ["a"]),
        ('{"requestId": "a"}\n{"requestId": "b"}\n', "x.ndjson", ["a", "b"]),
        ('{\n  "requestId": "a"\n}{"requestId": "b"}', "", ["a", "b"]),
        ('[{"requestId": "a"}, {"requestId": "b"}]', "", ["a", "b"]),
        ("\ufeff" + '{"requestId": "a"}', "", ["a"]),
        ("requestId: a", "", ["a"]),
        ("requestId: a\n---\nrequest_id: b\n---\n", "", ["a", "b"]),
        ("- requestId: a\n- requestId: b\n", "", ["a", "b"]),
        ('{"requestId": a}', "flow.yaml", ["a"]),
        ("{requestId: a}", "flow.yml", ["a"]),
    ],
)
def test_one_or_many_in_json_or_yaml(content: str, name: str, expected: list[str]) -> None:
    assert ids(content, name) == expected


def test_yaml_says_the_same_as_json() -> None:
    in_json = json.dumps(
        {
            "asOf": {"year": 2026, "month": 11, "day": 2},
            "prescription": {"medication": {"codings": [{"code": "828348"}]}, "daysSupply": 14},
            "patient": {"drivesOrOperatesMachinery": "ANSWER_YES", "conditions": {"items": []}},
        }
    )
    in_yaml = """
        as_of: 2026-11-02
        prescription:
          medication: {codings: [{code: "828348"}]}
          days_supply: 14
        patient:
          drives_or_operates_machinery: ANSWER_YES
          conditions: {items: []}
          renal:
    """
    assert read_requests(in_json.encode()) == read_requests(in_yaml.encode())
    assert read_requests(in_yaml.encode())[0].patient.drives_or_operates_machinery == Answer.ANSWER_YES


@pytest.mark.parametrize("content", ['{"patient": {"falls": true}}', "patient: {falls: yes}", "patient: {falls: no}"])
def test_true_is_not_taken_for_the_number_one_which_would_mean_no(content: str) -> None:
    value = "false" if "no}" in content else "true"
    assert wrong(content) == {"patient.falls": f"one of ANSWER_NO, ANSWER_YES is expected, not true/false ({value})"}


@pytest.mark.parametrize("value", ["1.5", '"1"', '"female"', "[]"])
def test_a_value_of_a_set_is_one_of_its_names_or_a_whole_number(value: str) -> None:
    assert list(wrong(f'{{"patient": {{"sex": {value}}}}}')) == ["patient.sex"]
    assert read_requests(b'{"patient": {"sex": 1}}') == read_requests(b'{"patient": {"sex": "SEX_FEMALE"}}')


def test_every_mistake_is_named_by_its_path_in_the_contract() -> None:
    content = """{
        "requestID": "a",
        "prescription": {
            "medication": {"codings": [{"code": "1"}, {"code": 828348}]},
            "refills": 1.5,
            "doseQuantity": {"value": "ten"},
            "indications": {},
            "asNeeded": true
        },
        "patient": {"sex": "MALE", "birthDate": "1950-01-01", "hepatic": []},
        "asOf": 3
    }"""
    found = wrong(content)
    assert found == {
        "requestID": found["requestID"],
        "prescription.medication.codings[1].code": "a text (quote it) is expected, not 828348",
        "prescription.refills": "a whole number is expected, not 1.5",
        "prescription.dose_quantity.value": "a number is expected, not 'ten'",
        "prescription.indications": "a list is expected, not an object",
        "prescription.as_needed": "one of ANSWER_NO, ANSWER_YES is expected, not true/false (true)",
        "patient.sex": "one of SEX_FEMALE, SEX_MALE, SEX_OTHER is expected, not 'MALE'",
        "patient.birth_date": "{year, month, day} is expected, not '1950-01-01'",
        "patient.hepatic": "an object (Hepatic) is expected, not a list",
        "as_of": "{year, month, day} is expected, not 3",
    }
    assert found["requestID"].startswith("no such field in CheckPrescriptionRequest; near it: request")


def test_in_a_file_of_several_the_path_begins_with_the_place() -> None:
    assert list(wrong('[{"requestId": "a"}, {"requestId": 1}, 3]')) == ["items[1].request_id", "items[2]"]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("", "", "no request in it"),
        ("[]", "", "no request in it"),
        ("---\n", "", "no request in it"),
        (b"\xff\xfe", "", "not UTF-8 (byte 0)"),
        ('{"requestId":', "", "not JSON: Expecting value"),
        ('{"requestId": "a"', "", "not JSON: Expecting ',' delimiter"),
        ('{"requestId": "a", "requestId": "b"}', "", "not JSON: the key 'requestId' is given twice"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "", "not YAML: the key 'c' is given twice in line 3"),
        ("a: [", "", "not YAML: expected the node content"),
        ("a: !!python/object:os.system x", "", "not YAML: could not determine a constructor"),
        ("[" * 100_000, "", "not JSON: maximum recursion depth exceeded"),
        ("just words", "", "an object (CheckPrescriptionRequest) is expected, not 'just words'"),
        ('{"prescription": {"doseQuantity": {}, "doseRange": {}}}', "", "Failed to parse prescription field"),
    ],
)
def test_what_is_no_request_at_all(content: str | bytes, name: str, reason: str) -> None:
    ((where, told),) = wrong(content, name).items()
    assert where == "input"
    assert told.startswith(reason)


def test_the_file_is_named_where_no_path_can_be() -> None:
    assert list(wrong("a: [", "orders.yaml")) == ["orders.yaml"]


def test_a_field_under_both_its_names_is_refused() -> None:
    assert wrong('{"requestId": "a", "request_id": "b"}') == {
        "request_id": "is given twice, as request_id and as requestId"
    }


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none(value: str) -> None:
    content = f'{{"prescription": {{"doseQuantity": {{"value": {value}}}}}}}'
    assert list(wrong(content)) == ["prescription.dose_quantity.value"]


def test_the_article_case_of_the_package_is_that_of_the_tests() -> None:
    assert ARTICLE_CASE.read_bytes() == (ROOT / "tests/data/article-case.json").read_bytes()
    (case,) = read_requests(ARTICLE_CASE.read_bytes())
    assert isinstance(case, CheckPrescriptionRequest)
    assert case.prescription.refills == 1
