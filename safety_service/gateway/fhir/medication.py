"""A medication in FHIR: a CodeableConcept, or a reference to a Medication."""

from __future__ import annotations

from collections.abc import Iterator

from medsafety.v1 import common_pb2, medication_pb2
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import Pool
from safety_service.gateway.fhir.quantities import read_amount
from safety_service.gateway.fhir.shapes import Json, Resource, listed, number, record, text
from safety_service.server import limits


def read_medication(
    target: medication_pb2.Medication, resource: Resource, place: str, pool: Pool, notes: Notes
) -> None:
    """Fills `target`; left empty, it is for the checks of the contract to say so."""
    concept = record(resource.get("medicationCodeableConcept"))
    reference = record(resource.get("medicationReference"))
    either = record(resource.get("medication"))  # R5
    concept = concept or record(either.get("concept"))
    reference = reference or record(either.get("reference"))
    if concept:
        read_concept(target, concept, f"{place}.medicationCodeableConcept", notes)
        return
    if not reference:
        return
    at = f"{place}.medicationReference"
    found = pool.find(text(reference.get("reference")), resource)
    if found is None:
        target.text = text(reference.get("display"))
        if target.text:
            notes.say(f"{at} was not sent with the call: its display was used")
        else:
            notes.not_used(at, "the Medication was not sent with the call")
        return
    read_concept(target, record(found.get("code")), f"{at}.code", notes)
    if not target.text and not target.codings:
        _from_ingredients(target, found, at, notes)
    _strengthened(target, found)
    if not target.text and not target.codings:
        target.text = text(reference.get("display"))


def read_concept(target: medication_pb2.Medication, concept: Resource, place: str, notes: Notes) -> None:
    """Codes and text of a CodeableConcept."""
    target.text = text(concept.get("text"))
    target.codings.extend(read_codings(concept, place, notes))


def read_codings(concept: Resource, place: str, notes: Notes) -> Iterator[common_pb2.Coding]:
    """The codings that say anything, at most as many as the contract takes."""
    found = 0
    for each in map(record, listed(concept.get("coding"))):
        coding = common_pb2.Coding(
            system=text(each.get("system")), code=text(each.get("code")), display=text(each.get("display"))
        )
        if not coding.code and not coding.display:
            continue
        if found == limits.CODINGS.value:
            notes.not_used(f"{place}.coding", f"more than {found}: the first {found} were used")
            return
        found += 1
        yield coding


def _from_ingredients(target: medication_pb2.Medication, medication: Resource, place: str, notes: Notes) -> None:
    """A Medication without a code is what it is made of: its ingredient, or the names of all as RxNorm joins them."""
    concepts = [record(record(each).get("itemCodeableConcept")) for each in listed(medication.get("ingredient"))]
    if len(concepts) == 1:
        read_concept(target, concepts[0], f"{place}.ingredient[0]", notes)
        return
    names = [
        text(each.get("text")) or next((text(record(one).get("display")) for one in listed(each.get("coding"))), "")
        for each in concepts
    ]
    if names and all(names):
        target.text = " / ".join(names)
        notes.say(f"{place}: named by its ingredients")


def _strengthened(target: medication_pb2.Medication, medication: Resource) -> None:
    """A name without a strength takes that of the one ingredient, where the Medication states it per piece."""
    ingredients = [record(each) for each in listed(medication.get("ingredient"))]
    if len(ingredients) != 1 or not target.text or any(sign.isdigit() for sign in target.text):
        return
    strength = record(ingredients[0].get("strength"))
    amount = read_amount(strength.get("numerator"), "", Notes())
    per: Json = record(strength.get("denominator"))
    if amount is None or amount.unit not in ("mg", "g", "ug") or number(per.get("value")) != 1:
        return
    piece = read_amount(per, "", Notes())
    if piece is not None and piece.unit in ("{tbl}", "{cap}", "{pill}", "1"):
        form = text(record(medication.get("form")).get("text"))
        target.text = " ".join(filter(None, (target.text, f"{amount.value:g} {amount.unit}", form)))
