"""Has a code the form of its system? A form only: whether the code exists is for the tests of the value sets."""

from __future__ import annotations

import re

_ICD10CM = re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?")
_ATC = re.compile(r"[A-Z]\d\d(?:[A-Z](?:[A-Z](?:\d\d)?)?)?")
_RXNORM = re.compile(r"[1-9]\d{0,7}")
_SNOMED = re.compile(r"[1-9]\d{5,17}")
_DUR = re.compile(r"[A-Z]{2}")
_ACT = re.compile(r"[A-Z][A-Z0-9]*")

# The dihedral group of ten and the permutation that Verhoeff's check digit is made with.
_TIMES = tuple(
    tuple((a + b) % 5 + 5 * (b > 4) if a < 5 else (a - b) % 5 + 5 * (b < 5) for b in range(10)) for a in range(10)
)
_PERMUTED = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
while len(_PERMUTED) < 8:
    _PERMUTED.append([_PERMUTED[-1][digit] for digit in _PERMUTED[1]])


def is_icd10cm(code: str) -> bool:
    """A code or prefix of ICD-10-CM, with its point: `K70.3`, `G35`."""
    return _ICD10CM.fullmatch(code) is not None


def is_atc(code: str) -> bool:
    """An ATC code of the second to the fifth level: `C02`, `N02A`, `M03BX08`."""
    return _ATC.fullmatch(code) is not None


def is_rxnorm(code: str) -> bool:
    """A RxNorm concept identifier: up to eight digits, no zero before them."""
    return _RXNORM.fullmatch(code) is not None


def is_snomed(code: str) -> bool:
    """A SNOMED CT concept identifier: 6 to 18 digits, the last of them Verhoeff's check digit."""
    if _SNOMED.fullmatch(code) is None:
        return False
    check = 0
    for at, digit in enumerate(reversed(code)):
        check = _TIMES[check][_PERMUTED[at % 8][int(digit)]]
    return check == 0


def is_dur(code: str) -> bool:
    """A code of the NCPDP DUR code lists: two capitals."""
    return _DUR.fullmatch(code) is not None


def is_act(code: str) -> bool:
    """An HL7 ActCode: capitals and digits."""
    return _ACT.fullmatch(code) is not None
