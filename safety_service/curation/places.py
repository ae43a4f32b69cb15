"""In which file and line does it stand? A rule, a clause, a statement, a policy number, a row of a value set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from safety_service.knowledge.read import Document, read_document


class Place(NamedTuple):
    """A line of a file, counted from 1; the file is named from the folder of the knowledge."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Places:
    """The files of a knowledge folder, read for their line numbers only."""

    def __init__(self, root: Path) -> None:
        """Raises KnowledgeError for a file that is not YAML."""
        self._rules = [_read(root, path) for path in sorted((root / "rules").glob("*.yaml"))]
        self._by_id = {
            folder: {
                str(document.data.get("id", path.stem)): document
                for path in sorted((root / folder).glob("*.yaml"))
                for document in (_read(root, path),)
                if isinstance(document.data, dict)
            }
            for folder in ("medications", "value_sets", "care_options")
        }
        self._policy = _read(root, root / "policy.yaml")
        self._nodes = {
            _scalar(node, "id"): (document.name, node)
            for document in self._rules
            for node in _mappings(document.node)
            if _scalar(node, "id")
        }

    def rule(self, rule_id: str, clause: int = -1) -> Place:
        """Where a rule, or one of its clauses (from 0), begins; for a rule made from a pattern, the pattern."""
        found = self._nodes.get(rule_id) or next(
            (each for text, each in self._nodes.items() if _pattern(text).fullmatch(rule_id)), None
        )
        if found is None:
            return Place("rules", 1)
        name, node = found
        clauses = _value(node, "clauses")
        if isinstance(clauses, yaml.SequenceNode) and 0 <= clause < len(clauses.value):
            node = clauses.value[clause]
        return Place(name, int(node.start_mark.line) + 1)

    def statement(self, line_id: str, name: str) -> Place:
        """Where a medication file makes a statement."""
        return self._in("medications", line_id, "statements", name)

    def medication(self, line_id: str, *path: str | int) -> Place:
        return self._in("medications", line_id, *path)

    def value_set(self, set_id: str, *path: str | int) -> Place:
        return self._in("value_sets", set_id, *path)

    def care_option(self, option_id: str, *path: str | int) -> Place:
        return self._in("care_options", option_id, *path)

    def policy(self, name: str) -> Place:
        return Place(self._policy.name, self._policy.line("numbers", name))

    def _in(self, folder: str, document_id: str, *path: str | int) -> Place:
        document = self._by_id[folder].get(document_id)
        return Place(folder, 1) if document is None else Place(document.name, document.line(*path))


def _read(root: Path, path: Path) -> Document:
    return read_document(path, path.relative_to(root).as_posix())


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _scalar(node: yaml.MappingNode, key: str) -> str:
    value = _value(node, key)
    return value.value if isinstance(value, yaml.ScalarNode) else ""


def _pattern(text: str) -> re.Pattern[str]:
    """An id with places in braces or angle brackets, as an expression for the ids made from it."""
    pieces = re.split(r"(\{[^}]*\}|<[^>]*>)", text)
    return re.compile("".join(".+" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)))
