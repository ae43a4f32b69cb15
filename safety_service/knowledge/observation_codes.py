"""LOINC codes of the observations that tell a fact about a patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOINC: Final = "http://loinc.org"
LIVER_TESTS: Final[Mapping[str, str]] = {
    "1742-6": "ALT",
    "1743-4": "ALT",  # with pyridoxal phosphate
    "1920-8": "AST",
    "30239-8": "AST",  # with pyridoxal phosphate
    "6768-6": "ALP",
    "1975-2": "BILIRUBIN",  # total, mass
    "14631-6": "BILIRUBIN",  # total, moles
}
EGFR: Final = ("98979-8", "62238-1", "88293-6", "88294-4", "33914-3", "48642-3", "48643-1")
CLEARANCE: Final = ("35591-7", "2164-2")
PREGNANCY: Final = ("82810-3",)
BREASTFEEDING: Final = ("63895-7",)
