"""Our enums and the contract's hold the same names and numbers; twins hold the fields of their originals."""

import re
from enum import IntEnum
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from medsafety.internal.v1 import wire_pb2
from medsafety.v1 import knowledge_service_pb2, medication_safety_service_pb2
from safety_service import domain

POOL = descriptor_pool.Default()
OTHER_NAMES = {"Role": "ImplicatedRole"}
ENUMS = [each for each in vars(domain).values() if isinstance(each, type) and issubclass(each, IntEnum)]
ENUMS.remove(IntEnum)
LOADED = (knowledge_service_pb2, medication_safety_service_pb2)  # which load all the others


def test_there_are_enums_to_compare() -> None:
    assert len(ENUMS) >= 18


@pytest.mark.parametrize("ours", ENUMS, ids=lambda each: each.__name__)
def test_an_enum_has_the_contracts_names_and_numbers(ours: type[IntEnum]) -> None:
    theirs = POOL.FindEnumTypeByName(f"medsafety.v1.{OTHER_NAMES.get(ours.__name__, ours.__name__)}")
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", theirs.name).upper() + "_"

    assert {each.value: each.name for each in ours if each} == {
        each.number: each.name.removeprefix(prefix) for each in theirs.values if each.number
    }
    assert [each.name for each in theirs.values if not each.number] == [f"{prefix}UNSPECIFIED"]
    assert ours(0).name in ("UNSPECIFIED", "UNKNOWN", "NONE")


@pytest.mark.parametrize("twin", wire_pb2.DESCRIPTOR.message_types_by_name.values(), ids=lambda each: each.name)
def test_a_twin_has_fields_of_its_original(twin: Any) -> None:
    original = POOL.FindMessageTypeByName(f"medsafety.v1.{twin.name.removesuffix('Parts')}")

    for field in twin.fields:
        same = original.fields_by_name[field.name]
        assert (same.number, same.is_repeated) == (field.number, field.is_repeated)
        assert same.message_type is not None, "only an embedded message may be kept as bytes"
