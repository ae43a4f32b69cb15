"""By which route: told, not told, or told in words that are not understood."""

import pytest

from safety_service.engine.route import route_not_oral
from safety_service.rules.vocabulary import EITHER, NO, YES


@pytest.mark.parametrize(
    ("ordered", "product", "not_oral"),
    [
        ("", "", NO),
        ("", "oral", NO),
        ("", "intrathecal", YES),
        (" - ", "intrathecal", YES),  # nothing is told
        ("P.O.", "", NO),
        ("IV", "oral", YES),
        ("strange way", "oral", EITHER),
        ("внутривенно", "oral", EITHER),  # no letter of it is read
        ("не oral", "oral", EITHER),
    ],
)
def test_a_route_that_is_not_read_whole_is_open(ordered: str, product: str, not_oral: int) -> None:
    assert route_not_oral(ordered, product) == not_oral
