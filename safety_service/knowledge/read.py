"""YAML files read strictly: an error names file, line and reason, and all errors of a file come together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import yaml
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the knowledge."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class KnowledgeError(Exception):
    """The knowledge cannot be used; `problems` lists every reason found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file: its data, and its nodes for the line of any part of it."""

    name: str
    data: Any
    node: yaml.Node

    def line(self, *path: str | int) -> int:
        """The line (from 1) of the deepest part of `path` that exists."""
        node = self.node
        found = node.start_mark.line
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
            found = node.start_mark.line
        return int(found) + 1

    def problem(self, reason: str, *path: str | int) -> Problem:
        return Problem(self.name, self.line(*path), reason)


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    found: yaml.Node | None = None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                found = value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found = node.value[step]
    return found


def read_document(path: Path, name: str) -> Document:
    """Raises KnowledgeError when the file is not YAML, is empty, or gives a key twice."""
    loader = yaml.CSafeLoader(path.read_bytes())
    try:
        node = loader.get_single_node()
        if node is None:
            raise KnowledgeError([Problem(name, 1, "the file is empty")])
        twice = _duplicate_keys(node)
        if twice:
            raise KnowledgeError([Problem(name, line, f"the key {key!r} is given twice") for key, line in twice])
        _keys_are_words(node)
        return Document(name, loader.construct_document(node), node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise KnowledgeError([Problem(name, line, f"not YAML: {getattr(error, 'problem', error)}")]) from None
    finally:
        loader.dispose()


def _duplicate_keys(node: yaml.Node) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    seen_nodes: set[int] = set()

    def walk(part: yaml.Node) -> None:
        if id(part) in seen_nodes:
            return
        seen_nodes.add(id(part))
        if isinstance(part, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in part.value:
                if key.value in keys:
                    found.append((key.value, key.start_mark.line + 1))
                keys.add(key.value)
                walk(value)
        elif isinstance(part, yaml.SequenceNode):
            for value in part.value:
                walk(value)

    walk(node)
    return found


def _keys_are_words(node: yaml.Node) -> None:
    """YAML 1.1 reads the key `on` as true; a key is the word that stands there."""
    waiting, seen = [node], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, yaml.MappingNode):
            for key, value in part.value:
                if key.tag == "tag:yaml.org,2002:bool":
                    key.tag = "tag:yaml.org,2002:str"
                waiting.append(value)
        elif isinstance(part, yaml.SequenceNode):
            waiting += part.value


def validate(document: Document, model: type[M]) -> M:
    """The document as `model`. Raises KnowledgeError with one problem per violation.

    Goes through JSON so that the models can be strict about numbers and strings while lists become tuples.
    """
    try:
        return model.model_validate_json(orjson.dumps(document.data))
    except ValidationError as error:
        raise KnowledgeError(
            [
                document.problem(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}", *each["loc"])
                for each in error.errors()
            ]
        ) from None
    except orjson.JSONEncodeError as error:
        raise KnowledgeError([document.problem(f"not plain data: {error}")]) from None
