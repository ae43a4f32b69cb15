"""What the service tells of itself at /cds-services, and the queries of its prefetch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from safety_service.gateway.hook_request import (
    MEDICATION_REFILL,
    MEDICATION_VERIFY,
    ORDER_DISPATCH,
    ORDER_SELECT,
    ORDER_SIGN,
)
from safety_service.knowledge.observation_codes import BREASTFEEDING, CLEARANCE, EGFR, LIVER_TESTS, LOINC, PREGNANCY

SERVICE_ID = "muscle-relaxant-safety"


class Hook(NamedTuple):
    """The page of the hook library that a hook was written to."""

    version: str
    maturity: str
    remark: str = ""


HOOKS: Final[Mapping[str, Hook]] = {
    ORDER_SELECT: Hook("1.0.2", "4"),
    ORDER_SIGN: Hook("1.1.0", "5"),
    ORDER_DISPATCH: Hook(
        "1.1", "0, a draft", "The orders are read from prefetch or from the FHIR server; without any of them 412."
    ),
    MEDICATION_REFILL: Hook("0.1.0", "1, submitted", "Send the medications taken: days count across fills."),
    MEDICATION_VERIFY: Hook("0.1.0", "0, a draft", "The order is signed: changes are said, not offered as actions."),
}
_PATIENT = "{{context.patientId}}"


def _observations(codes: tuple[str, ...], count: int) -> str:
    tokens = ",".join(f"{LOINC}|{code}" for code in codes)
    return f"Observation?patient={_PATIENT}&code={tokens}&_sort=-date&_count={count}"


PREFETCH = {
    "patient": f"Patient/{_PATIENT}",
    "conditions": f"Condition?patient={_PATIENT}",
    "medications": f"MedicationRequest?patient={_PATIENT}&_sort=-authoredon&_count=200",
    "dispenses": f"MedicationDispense?patient={_PATIENT}&_sort=-whenhandedover&_count=200",
    "statements": f"MedicationStatement?patient={_PATIENT}",
    "allergies": f"AllergyIntolerance?patient={_PATIENT}",
    "liver": _observations(tuple(LIVER_TESTS), 50),
    "kidney": _observations((*EGFR, *CLEARANCE), 5),
    "pregnancy": _observations(PREGNANCY, 1),
    "breastfeeding": _observations(BREASTFEEDING, 1),
    "procedures": f"Procedure?patient={_PATIENT}",
    "referrals": f"ServiceRequest?patient={_PATIENT}",
}


def discovery() -> dict[str, Any]:
    """One id for all hooks, so that a client takes later cards in place of earlier ones."""
    return {
        "services": [
            {
                "hook": hook,
                "id": SERVICE_ID,
                "title": "Muscle relaxant safety",
                "description": "Duration, hepatic dose, sedation and function checks of skeletal muscle relaxants, "
                "with the non-drug options that come first.",
                "usageRequirements": " ".join(
                    filter(
                        None,
                        (
                            "Answers from what is sent; what could not be checked is said in a card.",
                            "Decision support for professionals, not reviewed clinically.",
                            f"Written to {hook} {page.version} (maturity {page.maturity}).",
                            page.remark,
                        ),
                    )
                ),
                "prefetch": PREFETCH,
            }
            for hook, page in HOOKS.items()
        ]
    }
