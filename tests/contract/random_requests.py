"""Requests changed at random, field by field and byte by byte: mostly possible ones, so that most reach the rules."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import strategies as st

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.demo import ARTICLE_CASE

CASE = json_format.Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())
RXNORM, ICD, SNOMED = (
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://snomed.info/sct",
)
# Values that are possible in a field of this name: most draws are of these, so that most requests reach the rules.
POSSIBLE: dict[str, list[Any]] = {
    "unit": ["mg", "mg", "ug", "g", "mL", "{tbl}", "1", ""],
    "period_unit": ["h", "d", "wk", ""],
    "system": [RXNORM, ICD, SNOMED, "http://www.whocc.no/atc", ""],
    "code": "828348 1049621 21949 M54.50 G80.9 K74.60 K72.90 Z91.81 N02AA05 N05BA01 M03BX08".split(),
    "text": """diazepam tizanidine baclofen cyclobenzaprine carisoprodol lorazepam exercise zzzz oxycodone dantrolene
        gabapentin chlorzoxazone metaxalone methocarbamol orphenadrine""".split(),
    "option_id": ["exercise", "tai-chi", "zzzz"],
    "route": ["oral", "iv", ""],
    "id": ["order-0", "order-1", ""],
    "fingerprint": ["ab12"],
    "value": [0.25, 1.0, 2.0, 4.0, 5.0, 7.5, 10.0, 42.0, 350.0],
    "period": [1.0, 4.0, 6.0, 8.0, 12.0],
    "times": [1, 2, 3, 4],
    "age_years": [0, 5, 15, 64, 65, 90],
    "days_supply": [1, 7, 14, 15, 21, 22, 28, 90, 365],
    "refills": [0, 1, 2, 11],
}
UNITS = {"bilirubin": ["mg/dL", "umol/L"], "albumin": ["g/dL", "g/L"], "upper_limit": ["U/L"]}
TEXTS = ["", "\x00", "é\u2028\U0001f600", "x" * 300, "x" * 1001, "mgg", "default"]
WHOLE = [-(2**31), -1, 0, 1, 2, 13, 31, 99, 150, 366, 1900, 2026, 2**31 - 1]
BROKEN = [float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e-300, 0.001, 0.5, 60.0, 1e308]


def anything(draw: st.DrawFn, message: Message, field: Any, depth: int) -> Any:
    """A value for a field: mostly a possible one."""
    usual = draw(st.integers(0, 7)) > 0
    if field.message_type is not None:
        made = field.message_type._concrete_class()
        if field.message_type.name == "Date" and usual:
            years = [1940, 1961, 2010] if field.name == "birth_date" else [2025, 2026]
            made.year, made.month, made.day = draw(st.sampled_from(years)), draw(st.integers(1, 10)), 2
        elif field.message_type.name == "Quantity" and usual:
            made.value = draw(st.sampled_from(POSSIBLE["value"]))
            made.unit = draw(st.sampled_from(UNITS.get(field.name, POSSIBLE["unit"])))
        elif depth < 4:
            for part in draw(st.lists(st.sampled_from(list(field.message_type.fields)), max_size=4)):
                put(draw, made, part, depth + 1)
        return made
    if field.enum_type is not None:
        numbers = [each.number for each in field.enum_type.values]
        return draw(st.sampled_from(numbers if usual else [-1, 99]))
    if usual and field.name in POSSIBLE:
        return draw(st.sampled_from(POSSIBLE[field.name]))
    if field.cpp_type == field.CPPTYPE_STRING:
        return "" if usual else draw(st.sampled_from(TEXTS))
    return draw(st.sampled_from(BROKEN if field.cpp_type == field.CPPTYPE_DOUBLE else WHOLE))


def put(draw: st.DrawFn, message: Message, field: Any, depth: int) -> None:
    value = anything(draw, message, field, depth)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def parts_of(message: Message) -> list[Message]:
    """The message and all in it but dates, of which there are so many."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name != "Date":
            for each in value if field.is_repeated else [value]:
                found += parts_of(each)
    return found


@st.composite
def requests(draw: st.DrawFn) -> CheckPrescriptionRequest:
    """The article's case, or nothing, with some fields changed, added or taken away."""
    message = CheckPrescriptionRequest()
    if draw(st.integers(0, 9)):
        message.CopyFrom(CASE)
    for _ in range(draw(st.integers(0, 6))):
        part = draw(st.sampled_from(parts_of(message)))
        if isinstance(part, CheckPrescriptionRequest):
            part = draw(st.sampled_from([part.prescription, part.patient, part]))
        field: Any = draw(st.sampled_from(list(part.DESCRIPTOR.fields)))
        if draw(st.integers(0, 3)):
            put(draw, part, field, 1)
        else:
            part.ClearField(field.name)
    return message


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a request, some of them changed, taken out or put in."""
    data = bytearray(draw(requests()).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "insert":
            data.insert(at, draw(st.integers(0, 255)))
        elif at < len(data):
            if change == "cut":
                del data[at : at + draw(st.integers(1, 9))]
            else:
                data[at] = draw(st.integers(0, 255))
    return bytes(data)


WHOLE_REQUESTS = requests().map(CheckPrescriptionRequest.SerializeToString)
SENT = st.one_of(WHOLE_REQUESTS, WHOLE_REQUESTS, WHOLE_REQUESTS, damaged(), st.binary(max_size=60))
