"""Requests from a file of any length: the same as from a whole one, with one document in memory at a time."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsafety import CheckPrescriptionRequest
from safety_service import request_file
from safety_service.demo import ARTICLE_CASE
from safety_service.knowledge.load import RULES_DATA
from safety_service.request_file import UnreadableFileError, read_requests, stream_requests

FORMS = [
    ('{"requestId": "a"}', "", ["a"]),
    ('  \n{"request_id": "a"}\n\n', "", ["a"]),
    ('{"requestId": "a"}\n{"requestId": "b"}\n', "x.ndjson", ["a", "b"]),
    ('{\n  "requestId": "a"\n}{"requestId": "b"}', "", ["a", "b"]),
    ('[{"requestId": "a"}, {"requestId": "b"}]', "", ["a", "b"]),
    ("\ufeff" + '{"requestId": "a"}', "", ["a"]),
    ("requestId: a", "", ["a"]),
    ("requestId: a\n---\nrequest_id: b\n---\n", "", ["a", "b"]),
    ("- requestId: a\n- requestId: b\n", "", ["a", "b"]),
    ('{"requestId": a}', "flow.yaml", ["a"]),
]


def streamed(content: str | bytes, name: str = "") -> list[CheckPrescriptionRequest | UnreadableFileError]:
    return list(stream_requests(io.BytesIO(content if isinstance(content, bytes) else content.encode()), name))


@pytest.mark.parametrize("chunk", [1, 7, 64 * 1024])
@pytest.mark.parametrize(("content", "name", "expected"), FORMS)
def test_every_form_that_is_read_whole_is_streamed(
    content: str, name: str, expected: list[str], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chunk > 1 or content.lstrip("\ufeff")[0] in "{[":  # the first character tells which form it is
        monkeypatch.setattr(request_file, "_CHUNK", chunk)
    found = streamed(content, name)
    assert found == read_requests(content.encode(), name)
    assert [each.request_id for each in found if isinstance(each, CheckPrescriptionRequest)] == expected


@pytest.mark.parametrize("chunk", [3, 100, 5000])
def test_wherever_it_is_cut(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_file, "_CHUNK", chunk)
    case = ARTICLE_CASE.read_bytes()
    assert streamed(case + b"\n" + case) == read_requests(case + case)
    orders = (RULES_DATA / "examples" / "orders.ndjson").read_bytes()
    assert streamed(orders) == read_requests(orders)


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=6),
    between=st.sampled_from(["", "\n", " \n\t "]),
    indent=st.sampled_from([None, 2]),
    escaped=st.booleans(),
    chunk=st.integers(1, 9),
)
def test_any_text_in_any_cut(texts: list[str], between: str, indent: int | None, escaped: bool, chunk: int) -> None:
    content = between.join(json.dumps({"requestId": each}, ensure_ascii=escaped, indent=indent) for each in texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_file, "_CHUNK", chunk)
        assert streamed(content) == read_requests(content.encode())


def test_what_is_not_well_formed_is_told_in_its_place() -> None:
    first, wrong, last = streamed('{"requestId": "a"}\n{"patient": {"age": 3}, "x": 1}\n{"requestId": "b"}')
    assert isinstance(first, CheckPrescriptionRequest)
    assert isinstance(last, CheckPrescriptionRequest)
    assert isinstance(wrong, UnreadableFileError)
    assert [each.field for each in wrong.violations] == ["items[1].patient.age", "items[1].x"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"requestId": "a"}\n{"requestId": "b"', "cannot be read on after 1 requests"),
        ('{"requestId": "a"}\n{"requestId": b}\n{}', "cannot be read on after 1 requests: Expecting value"),
        ('{"requestId": "a", "requestId": "b"}', "the key 'requestId' is given twice"),
        (b'{"requestId": "\xff"}', "not UTF-8, after 0 requests"),
        ("requestId: [", "cannot be read on after 0 requests"),
        ("", "no request in it"),
        ("\n\n", "no request in it"),
        ("[]", "no request in it"),
    ],
)
def test_a_file_that_cannot_be_read_on(content: str | bytes, told: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        streamed(content, "orders.ndjson" if content else "")
    assert told in str(caught.value)


def test_a_document_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_file, "MOST_CHARACTERS", 200_000)
    endless = Endless('{"requestId": "', "x" * 1000)
    with pytest.raises(UnreadableFileError, match="Unterminated string"):
        list(stream_requests(io.BufferedReader(endless)))
    assert endless.given < 1_000_000


class Endless(io.RawIOBase):
    """A file that never ends; `given` counts its bytes."""

    def __init__(self, begin: str, again: str) -> None:
        self._next = begin.encode()
        self._again = again.encode()
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while len(self._next) < len(view):
            self._next += self._again
        view[:] = self._next[: len(view)]
        self._next = self._next[len(view) :]
        self.given += len(view)
        return len(view)


@pytest.mark.parametrize("name", ["x.ndjson", "x.yaml"])
def test_no_more_is_read_than_is_needed(name: str) -> None:
    """The first hundred requests of a file that never ends."""
    text = '{"requestId": "a"}\n' if name == "x.ndjson" else "requestId: a\n---\n"
    endless = Endless("", text * 100)
    requests = stream_requests(io.BufferedReader(endless), name)
    for _ in range(100):
        assert next(requests) == CheckPrescriptionRequest(request_id="a")
    assert endless.given < 1_000_000


def test_the_examples_are_read(tmp_path: Path) -> None:
    found = streamed((RULES_DATA / "examples" / "orders.ndjson").read_bytes(), "orders.ndjson")
    assert len(found) == 40
    assert all(isinstance(each, CheckPrescriptionRequest) for each in found)
