import base64
from typing import Any

import pytest

from safety_service.server.errors import RefusedError
from safety_service.server.pages import page

ITEMS = list(range(120))
CUT: dict[str, Any] = {"listed": "rules 0", "digest": "d1", "key": b"k"}


def refused(token: str, **changed: Any) -> str:
    with pytest.raises(RefusedError) as raised:
        page(ITEMS, 50, token, **{**CUT, **changed})
    return str(raised.value.status.details[0].value)


@pytest.mark.parametrize(("size", "pages"), [(0, [50, 50, 20]), (1000, [120]), (60, [60, 60]), (119, [119, 1])])
def test_pages_cover_everything_once(size: int, pages: list[int]) -> None:
    token = ""
    seen: list[int] = []
    lengths = []
    while True:
        items, token = page(ITEMS, size, token, **CUT)
        seen += items
        lengths.append(len(items))
        if not token:
            break

    assert seen == ITEMS
    assert lengths == pages


def test_a_page_has_at_most_500_items() -> None:
    items, token = page(list(range(600)), 501, "", **CUT)

    assert len(items) == 500
    assert token


def test_an_empty_list_is_one_empty_page() -> None:
    assert page([], 10, "", **CUT) == ([], "")


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(RefusedError, match="page_size"):
        page(ITEMS, -1, "", **CUT)


def test_a_token_is_bound_to_its_list_its_knowledge_and_its_maker() -> None:
    _, token = page(ITEMS, 50, "", **CUT)

    assert "STALE_PAGE_TOKEN" in refused(token, digest="d2")
    assert "BAD_PAGE_TOKEN" in refused(token, listed="rules 4")
    assert "BAD_PAGE_TOKEN" in refused(token, key=b"other")


@pytest.mark.parametrize("token", ["x", "é", "%%%", "=" * 8, "A" * 40, "\x00"])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert "BAD_PAGE_TOKEN" in refused(token)


def test_no_bit_of_a_token_can_be_changed() -> None:
    _, token = page(ITEMS, 50, "", **CUT)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    for i in range(len(raw)):
        raw[i] ^= 1
        assert "BAD_PAGE_TOKEN" in refused(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))
        raw[i] ^= 1
