"""The form of codes, with the check digit of SNOMED CT held to codes that are in use."""

import pytest

from safety_service.curation import codes
from safety_service.knowledge.knowledge import Knowledge


@pytest.mark.parametrize("code", ["K70.3", "G35", "S39.012A", "B19.11", "M54.5"])
def test_icd10cm(code: str) -> None:
    assert codes.is_icd10cm(code)


@pytest.mark.parametrize("code", ["", "K7", "K703", "70.3", "K70.", "k70.3", "K70.31234", " K70.3"])
def test_not_icd10cm(code: str) -> None:
    assert not codes.is_icd10cm(code)


@pytest.mark.parametrize("code", ["C02", "N02A", "N02AA", "N02AA05", "M03BX08"])
def test_atc(code: str) -> None:
    assert codes.is_atc(code)


@pytest.mark.parametrize("code", ["", "N", "N2AA05", "N02AA5", "N02AA055", "n02aa05", "N02A05"])
def test_not_atc(code: str) -> None:
    assert not codes.is_atc(code)


def test_rxnorm() -> None:
    assert codes.is_rxnorm("7804")
    assert not any(map(codes.is_rxnorm, ("", "07804", "78O4", "123456789")))


def test_every_slip_in_a_digit_and_every_swap_of_neighbours_is_found(knowledge: Knowledge) -> None:
    used = [code.code for each in knowledge.condition_sets for code in each.snomed]
    assert len(used) > 10
    for code in used:
        assert codes.is_snomed(code)
        for at, digit in enumerate(code):
            assert not any(
                codes.is_snomed(code[:at] + other + code[at + 1 :]) for other in "123456789" if other != digit
            )
        for at in range(len(code) - 1):
            swapped = code[:at] + code[at + 1] + code[at] + code[at + 2 :]
            assert swapped == code or not codes.is_snomed(swapped)


def test_a_snomed_code_has_six_to_eighteen_digits() -> None:
    assert not any(map(codes.is_snomed, ("", "0", "12345", "1" * 19, "19943007x")))


def test_dur_and_act() -> None:
    assert codes.is_dur("MX")
    assert not any(map(codes.is_dur, ("M", "mx", "MXX")))
    assert codes.is_act("DOSEDURH")
    assert not any(map(codes.is_act, ("", "dose", "DOSE-H")))
