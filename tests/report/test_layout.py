"""Lines of text: where they break, and where not."""

from __future__ import annotations

from rich.text import Text

from medsafety.v1.common_pb2 import Severity
from medsafety.v1.decision_pb2 import Overall
from safety_service.report.layout import KEEP, WIDTH, headed, plain, right, word, wrapped


def test_a_number_stays_with_its_unit_wherever_the_line_breaks() -> None:
    for length in range(60, WIDTH):
        for measure in ("38 %", "10 mg", "14 days", "2 d", "5 mL"):
            lines = plain(wrapped("x" * length + f" takes {measure} daily", "", "")).splitlines()
            assert any(measure in line for line in lines)
            assert KEEP not in "".join(lines)


def test_words_longer_than_a_line_are_not_broken() -> None:
    address = "https://example.org/" + "a" * WIDTH
    assert plain(wrapped(f"see {address}", "[1]  ", "     ")).splitlines()[-1] == f"     {address}"


def test_an_empty_text_is_one_line() -> None:
    assert plain(wrapped("", "Do  ", "    ")) == "Do"


def test_a_long_severity_does_not_run_into_the_title() -> None:
    assert plain(headed("CONTRAINDICATED", "Do not use")) == "CONTRAINDICATED  Do not use"
    assert plain(headed("LOW", "Counsel")) == "LOW       Counsel"


def test_the_right_margin_or_two_spaces() -> None:
    assert len(right(Text("a"), "b")) == WIDTH
    assert right(Text("a" * WIDTH), "b").plain.endswith("a  b")


def test_enum_words() -> None:
    assert word(Severity.DESCRIPTOR, Severity.SEVERITY_HIGH) == "HIGH"
    assert word(Overall.DESCRIPTOR, Overall.OVERALL_UNSPECIFIED) == "UNSPECIFIED"
    assert word(Overall.DESCRIPTOR, 77) == "77"
