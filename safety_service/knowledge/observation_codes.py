"""LOINC codes of the observations that tell a fact about a patient, with the units and answers that are understood.

A code is here only if its LOINC name was read in a published guide or code list (read 2026-11-26; behind each code).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOINC: Final = "http://loinc.org"
LIVER_TESTS: Final[Mapping[str, str]] = {
    "1742-6": "ALT",  # dQM of CMS, value set alt-lab-tests
    "1743-4": "ALT",  # with pyridoxal phosphate; HL7 Lithuania, value set alt-method
    "1920-8": "AST",  # eCQM of CMS, aspartate aminotransferase
    "30239-8": "AST",  # with pyridoxal phosphate; HL7 Lithuania, value set ast-method
    "6768-6": "ALP",  # dQM of CMS, value set alkaline-phosphatase
    "1975-2": "BILIRUBIN",  # total, mass; HL7 US Core; dQM of CMS, value set total-bilirubin
    "14631-6": "BILIRUBIN",  # total, moles; LOINC table of OSCAR, DISTANCE (Medizininformatik-Initiative)
}
# Estimates per 1.73 m2 from creatinine. The two of a formula with race are often reported together, and differ: of
# results of one day that differ none counts.
EGFR: Final = (
    "98979-8",  # CKD-EPI 2021; CH LAB-Report, value set observation-code-cdk-epi-2021
    "62238-1",  # CKD-EPI 2009; CH LAB-Report, value set observation-code-cdk-epi-2009
    "88293-6",  # CKD-EPI 2009 with race; FSH of CH LAB-Report
    "88294-4",  # the same; FSH of CH LAB-Report
    "33914-3",  # MDRD; HL7 CPG, value set ckd-valueset-egfr; HL7 PDDI-CDS, value set valueset-renal-LOINC
    "48642-3",  # MDRD with race; HL7 PDDI-CDS, value set valueset-renal-LOINC
    "48643-1",  # the same
)
CLEARANCE: Final = (
    "35591-7",  # predicted by Cockcroft-Gault; ANS (France), value set of laboratory results
    "2164-2",  # measured, 24-hour urine; HL7 Switzerland, CH LAB-Order
)
PREGNANCY: Final = ("82810-3",)  # HL7 International Patient Summary, pregnancy status
BREASTFEEDING: Final = ("63895-7",)  # gematik ISiK, Stillstatus; Starter FHIR IG, breastfeeding status
# Units in lower case, in the ways they are written.
EGFR_UNITS: Final = (
    "ml/min/{1.73_m2}",
    "ml/min/1.73.m2",
    "ml/min/1.73m2",
    "ml/min/1.73 m2",
    "ml/min/1.73m²",
    "ml/min/1.73 m²",
    "ml/min/{1.73m2}",
    "ml/min/{1.73sq m}",
    "ml/min/{1.73_m²}",
    "ml/min/1.73",
)
CLEARANCE_UNITS: Final = ("ml/min",)
# Answers by code; anything else is not known. Pregnancy: value set and map pregnancy-status-uv-ips of HL7 IPS.
# Breast-feeding: value set breastfeeding-status of the Starter FHIR IG; StillstatusVS of ISiK has the same.
PREGNANCY_ANSWERS: Final[Mapping[str, bool]] = {
    "77386006": True,
    "LA15173-0": True,
    "60001007": False,
    "LA26683-5": False,
}
BREASTFEEDING_ANSWERS: Final[Mapping[str, bool]] = {"LA29252-6": True, "LA29253-4": False}
# SNOMED CT: no known allergy, of any kind or of drugs; and of what is no drug.
NO_DRUG_ALLERGY: Final = ("716186003", "409137002")
NO_OTHER_ALLERGY: Final = ("428607008", "429625007", "1003774007")
