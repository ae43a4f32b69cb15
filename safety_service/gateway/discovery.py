"""What the service tells of itself at /cds-services, and the queries of its prefetch."""

from __future__ import annotations

from typing import Any

from safety_service.gateway.hook_request import ORDER_SELECT, ORDER_SIGN
from safety_service.knowledge.observation_codes import BREASTFEEDING, CLEARANCE, EGFR, LIVER_TESTS, LOINC, PREGNANCY

SERVICE_ID = "muscle-relaxant-safety"
HOOKS = (ORDER_SELECT, ORDER_SIGN)
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
                "usageRequirements": "Answers from what is sent; what could not be checked is said in a card. "
                "Decision support for professionals, not reviewed clinically.",
                "prefetch": PREFETCH,
            }
            for hook in HOOKS
        ]
    }
