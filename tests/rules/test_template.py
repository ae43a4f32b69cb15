"""Texts with places for facts."""

import pytest

from safety_service.rules.template import parse_template

NAMES = {"a", "drug.duration.max_days"}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("no place", "no place"),
        ("{a}", "<a>"),
        ("{a}{a}", "<a><a>"),
        ("x {a} y {drug.duration.max_days} z", "x <a> y <drug.duration.max_days> z"),
    ],
)
def test_places_are_filled_in_order(text: str, rendered: str) -> None:
    assert parse_template(text, NAMES).render(lambda name: f"<{name}>") == rendered


def test_what_is_put_in_is_not_read_again() -> None:
    assert parse_template("{a}", NAMES).render(lambda name: "{drug.duration.max_days}") == "{drug.duration.max_days}"


@pytest.mark.parametrize(
    "text", ["{b}", "{}", "{ a}", "{a:g}", "{a!r}", "{a.b}", "x {a} {A}", "{drug.duration}", "{0}"]
)
def test_a_place_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nothing is called \{"):
        parse_template(text, NAMES)


@pytest.mark.parametrize("text", ["{a", "a}", "{a} planned}", "{{a}}", "}{a}{"])
def test_a_brace_that_stands_alone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a brace stands alone"):
        parse_template(text, NAMES)


def test_places_are_listed_for_whoever_asks_what_a_text_needs() -> None:
    template = parse_template("{a} of {drug.duration.max_days}, {a}", NAMES)
    assert template.places == ("a", "drug.duration.max_days", "a")
    assert template.pieces == ("", " of ", ", ", "")
