"""Bodies that the OpenAPI document allows, made from it: the part of JSON Schema that it uses and no more."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "MedicationRequest",
            "Bundle",
            "Patient",
            "p1",
            "Patient/p1",
            "MedicationRequest/mr1",
            "http://127.0.0.1:1/r4",
            "2026-11-25",
        ]
    ),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["id", "status", "subject", "medicationCodeableConcept", "dosageInstruction", "dispenseRequest", "link", "total"]
)


def bodies(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema allows; where it says nothing, anything."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([bodies(each) for each in schema["anyOf"]])
    kinds = schema.get("type", ())
    made = [_OF_TYPE[each](schema) for each in ([kinds] if isinstance(kinds, str) else kinds)]
    return st.one_of(made) if made else ANYTHING


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    held = {name: bodies(each) for name, each in schema.get("properties", {}).items()}
    needed = set(schema.get("required", ()))
    named = st.fixed_dictionaries(
        {name: held.get(name, ANYTHING) for name in sorted(needed)},
        optional={name: each for name, each in held.items() if name not in needed},
    )
    more = schema.get("additionalProperties")
    others = st.dictionaries(NAMES, bodies(more) if isinstance(more, dict) else ANYTHING, max_size=2)
    return st.builds(lambda own, other: {**other, **own}, named, others)


def _array(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    least = schema.get("minItems", 0)
    return st.lists(bodies(schema.get("items", {})), min_size=least, max_size=least + 2)


_OF_TYPE: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
    "object": _object,
    "array": _array,
    "string": lambda schema: st.text(min_size=1, max_size=10) if schema.get("minLength") else TEXTS,
    "integer": lambda schema: st.integers(),
    "number": lambda schema: st.floats(allow_nan=False),
    "boolean": lambda schema: st.booleans(),
    "null": lambda schema: st.none(),
}


def calls(document: dict[str, Any], service: str) -> st.SearchStrategy[tuple[str, Any]]:
    """A path of the document that takes a body, with one that it allows."""
    found = []
    for path, operations in document["paths"].items():
        if "post" in operations:
            content = operations["post"]["requestBody"]["content"]["application/json"]
            found.append(st.tuples(st.just(path.replace("{id}", service)), bodies(content["schema"])))
    return st.one_of(found)
