"""Requests as people write them: JSON or YAML in the protobuf JSON mapping, one or many in a file.

Every field that is unknown or has a value of the wrong kind is named, not only the first.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Hashable, Iterator
from datetime import datetime
from difflib import get_close_matches
from typing import Any, BinaryIO, TextIO

import yaml
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from medsafety import CheckPrescriptionRequest, Violation

_SPACE = re.compile(r"\s*")
_CHUNK = 64 * 1024
MOST_CHARACTERS = 16 * 1024 * 1024  # of one document in a stream; a server reads requests of 4 MiB at most


class UnreadableFileError(Exception):
    """The file holds no requests, or some that are not well formed; `violations` names every place."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(f"{each.field}: {each.reason}" for each in violations))
        self.violations = violations


def read_requests(content: bytes, name: str = "", *, quote: bool = True) -> list[CheckPrescriptionRequest]:
    """The requests in a file: one, several one after another (NDJSON, YAML documents), or a list of them.

    It is read as YAML where `name` ends so or the content does not begin like JSON. YAML dates may stand for dates.
    Raises UnreadableFileError, which quotes values only if `quote`: to whoever has the file, not over a network.
    """
    where = name or "input"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError((Violation(where, f"not UTF-8 (byte {error.start})"),)) from None
    is_yaml = name.endswith((".yaml", ".yml")) or not text.lstrip().startswith(("{", "["))
    try:
        documents = _yaml_documents(text) if is_yaml else _json_documents(text)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise UnreadableFileError((Violation(where, f"not YAML: {error.problem}{line}"),)) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UnreadableFileError((Violation(where, f"not {'YAML' if is_yaml else 'JSON'}: {error}"),)) from None
    if not documents:
        raise UnreadableFileError((Violation(where, "no request in it"),))
    requests = []
    violations: list[Violation] = []
    for index, document in enumerate(documents):
        found = _request(document, f"items[{index}]" if len(documents) > 1 else "", where, quote)
        if isinstance(found, CheckPrescriptionRequest):
            requests.append(found)
        else:
            violations += found.violations
    if violations:
        raise UnreadableFileError(tuple(violations))
    return requests


def stream_requests(file: BinaryIO, name: str = "") -> Iterator[CheckPrescriptionRequest | UnreadableFileError]:
    """The requests in a file of the forms that `read_requests` reads, one after another, however long the file is.

    Memory holds one document at a time: a line of NDJSON, a YAML document, but a list as a whole. A request that is not
    well formed is given as its error, in its place. Raises UnreadableFileError where the file cannot be read on.
    """
    where = name or "input"
    index = 0
    text = io.TextIOWrapper(file, "utf-8-sig")
    try:
        for document in _documents(text, name):
            for each in document if isinstance(document, list) else [document]:
                yield _request(each, f"items[{index}]", where)
                index += 1
    except UnicodeDecodeError:
        raise UnreadableFileError((Violation(where, f"not UTF-8, after {index} requests"),)) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableFileError((Violation(where, f"cannot be read on after {index} requests: {reason}"),)) from None
    finally:
        text.detach()  # the file is its owner's to close
    if not index:
        raise UnreadableFileError((Violation(where, "no request in it"),))


def _documents(text: TextIO, name: str) -> Iterator[object]:
    begin = text.read(_CHUNK)
    if name.endswith((".yaml", ".yml")) or not begin.lstrip().startswith(("{", "[")):
        documents = yaml.load_all(_Joined(begin, text), Loader=_Loader)
        yield from (each for each in documents if each is not None)
        return
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    held, at = begin, 0
    while True:
        at = _space_end(held, at)
        try:
            document, at = decoder.raw_decode(held, at)
        except json.JSONDecodeError:
            # Perhaps only cut off: the more is held, the more is read before the next try.
            held, at = held[at:], 0
            more = text.read(max(_CHUNK, len(held)))
            if not more and not held:
                return
            if not more or len(held) > MOST_CHARACTERS:
                raise
            held += more
        else:
            yield document


class _Joined:
    """What has been read already, then the rest."""

    def __init__(self, begin: str, rest: TextIO) -> None:
        self._begin = begin
        self._rest = rest

    def read(self, size: int = -1) -> str:
        begin, self._begin = self._begin, ""
        return begin or self._rest.read(size)


def _request(
    document: object, prefix: str, where: str, quote: bool = True
) -> CheckPrescriptionRequest | UnreadableFileError:
    """The request that a document is, or every violation in it."""
    found = list(_violations(CheckPrescriptionRequest.DESCRIPTOR, document, prefix, quote))
    if not found and isinstance(document, dict):
        try:
            return ParseDict(document, CheckPrescriptionRequest())
        except ParseError as error:  # what concerns several fields: both of a oneof
            found = [Violation(prefix or where, str(error).rstrip("."))]
    return UnreadableFileError(tuple(found))


def _json_documents(text: str) -> list[object]:
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    documents: list[object] = []
    at = _space_end(text, 0)
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        documents += document if isinstance(document, list) else [document]
        at = _space_end(text, at)
    return documents


def _space_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _yaml_documents(text: str) -> list[object]:
    documents: list[object] = []
    for document in yaml.load_all(text, Loader=_Loader):
        if document is not None:
            documents += document if isinstance(document, list) else [document]
    return documents


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is given twice")
        found[key] = value
    return found


class _Loader(yaml.SafeLoader):
    """Plain data only; a key given twice is an error; a date is a google.type.Date."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _date(loader: _Loader, node: yaml.ScalarNode) -> object:
    when = loader.construct_yaml_timestamp(node)
    if isinstance(when, datetime):
        return node.value
    return {"year": when.year, "month": when.month, "day": when.day}


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def _violations(kind: Descriptor, value: object, path: str, quote: bool) -> Iterator[Violation]:
    if not isinstance(value, dict):
        shape = "{year, month, day}" if kind.full_name == "google.type.Date" else f"an object ({kind.name})"
        yield Violation(path or "input", f"{shape} is expected, not {_kind(value, quote)}")
        return
    fields = {each.name: each for each in kind.fields} | {each.json_name: each for each in kind.fields}
    for each in kind.fields:
        if each.name != each.json_name and each.name in value and each.json_name in value:
            at = f"{path}.{each.name}".lstrip(".")
            yield Violation(at, f"is given twice, as {each.name} and as {each.json_name}")
    for key, held in value.items():
        field = fields.get(key)
        at = f"{path}.{key if field is None else field.name}".lstrip(".")
        if field is None:
            near = get_close_matches(str(key), fields, n=1)
            yield Violation(at, f"no such field in {kind.name}" + (f"; near it: {near[0]}" if near else ""))
        elif held is None:  # as if it were not there
            continue
        elif not field.is_repeated:
            yield from _value_violations(field, held, at, quote)
        elif isinstance(held, list):
            for index, item in enumerate(held):
                yield from _value_violations(field, item, f"{at}[{index}]", quote)
        else:
            yield Violation(at, f"a list is expected, not {_kind(held, quote)}")


def _value_violations(field: FieldDescriptor, value: object, path: str, quote: bool) -> Iterator[Violation]:
    if field.message_type is not None:
        yield from _violations(field.message_type, value, path, quote)
        return
    if _fits(field, value):
        return
    if field.enum_type is not None:
        expected = "one of " + ", ".join(each.name for each in field.enum_type.values if each.number)
    elif field.type == FieldDescriptor.TYPE_STRING:
        expected = "a text (quote it)"
    else:
        expected = "a number" if field.type == FieldDescriptor.TYPE_DOUBLE else "a whole number"
    yield Violation(path, f"{expected} is expected, not {_kind(value, quote)}")


def _fits(field: FieldDescriptor, value: object) -> bool:
    # The JSON mapping would read true as the number 1: "yes", which YAML makes a boolean, would come out as ANSWER_NO.
    if isinstance(value, bool) and field.type != FieldDescriptor.TYPE_BOOL:
        return False
    if field.enum_type is not None:
        return value in field.enum_type.values_by_name if isinstance(value, str) else isinstance(value, int)
    assert field.containing_type is not None  # only an extension has none
    try:
        single = [value] if field.is_repeated else value
        ParseDict({field.json_name: single}, GetMessageClass(field.containing_type)())
    except ParseError:
        return False
    return True


def _kind(value: object, quote: bool) -> str:
    match value:
        case bool():
            return f"true/false ({str(value).lower()})"
        case dict():
            return "an object"
        case list():
            return "a list"
        case None:
            return "nothing"
        case str() if not quote:
            return "a text"
        case int() | float() if not quote:
            return "a number"
        case str():
            return repr(value if len(value) <= 40 else value[:40] + "...")
    return str(value)
