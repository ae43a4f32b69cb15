"""Which drug a site's own codes mean: its NDC and local codes, read from a CSV file and refused with every reason.

Columns `system,code,rxcui,name`; each row gives a RxNorm code of the dictionary or a name that it understands whole.
A site adds codes; it never changes what a code means that the service reads by itself.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, ValidationError, model_validator

from safety_service.knowledge.drug_names import RXNORM, DrugNames, SiteCode
from safety_service.knowledge.drug_text import LONGEST_TEXT, read_drug_text
from safety_service.knowledge.read import KnowledgeError, Problem
from safety_service.knowledge.resolve import ATC, NDC, SNOMED, code_key
from safety_service.knowledge.schema import Strict

COLUMNS = ("system", "code", "rxcui", "name")
MOST_PROBLEMS = 50  # told one by one
_LONGEST_NAME = 256  # characters of a system or code that a request may send

_NDC = re.compile(r"[0-9-]+")
_Sent = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_NAME, strip_whitespace=True)]


class SiteRow(Strict):
    """One code of the site. `rxcui` or `name`, empty when the other is given."""

    system: _Sent
    code: _Sent
    rxcui: Annotated[str, StringConstraints(max_length=_LONGEST_NAME, strip_whitespace=True)]
    name: Annotated[str, StringConstraints(max_length=LONGEST_TEXT, strip_whitespace=True)]

    @model_validator(mode="after")
    def _means_one_thing(self) -> SiteRow:
        if bool(self.rxcui) == bool(self.name):
            raise ValueError("give rxcui or name, one of them")
        if code_key(self.system, "")[0] == NDC and not _NDC.fullmatch(self.code):
            raise ValueError("code: an NDC holds digits and hyphens only; spreadsheets turn it into another number")
        return self


def read_site_codes(file: str, content: bytes, names: DrugNames) -> dict[tuple[str, str], SiteCode]:
    """The codes of a site by `code_key`. Raises KnowledgeError with file and line of everything that is wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise KnowledgeError([Problem(file, line, "not UTF-8")]) from None
    found: dict[tuple[str, str], SiteCode] = {}
    lines: dict[tuple[str, str], int] = {}
    problems: list[Problem] = []
    reasons_of_name: dict[str, str] = {}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = tuple([cell.strip().lower() for cell in next(rows, ())])
        if heading != COLUMNS:
            raise KnowledgeError([Problem(file, 1, f"the first line must be {','.join(COLUMNS)}")])
        for cells in rows:
            if not cells:
                continue
            line = rows.line_num
            row, reasons = _row(cells)
            if row is None:
                problems += [Problem(file, line, reason) for reason in reasons]
                continue
            key = code_key(row.system, row.code)
            if key in lines:
                problems.append(
                    Problem(file, line, f"{key[1]!r} of {key[0]!r} is given twice, first in line {lines[key]}")
                )
                continue
            lines[key] = line
            reason = _known_already(names, *key) or _not_readable_code(names, row.rxcui)
            if not reason and row.name:
                if row.name not in reasons_of_name:  # a name of many packages is read once
                    reasons_of_name[row.name] = _not_readable_name(names, row.name)
                reason = reasons_of_name[row.name]
            if reason:
                problems.append(Problem(file, line, reason))
            found[key] = SiteCode(row.rxcui, row.name)
    except csv.Error as error:
        problems.append(Problem(file, rows.line_num, f"not CSV: {error}"))
    if not lines and not problems:
        problems.append(Problem(file, 1, "the file holds no code"))
    if problems:
        raise KnowledgeError(_told(file, problems))
    return found


def load_site_codes(path: Path) -> bytes:
    """The content of a file of site codes. Raises KnowledgeError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise KnowledgeError([Problem(path.name, 1, f"the file cannot be read: {error.strerror}")]) from None


def _row(cells: list[str]) -> tuple[SiteRow | None, list[str]]:
    if len(cells) != len(COLUMNS):
        return None, [f"{len(cells)} cells, {len(COLUMNS)} wanted: {','.join(COLUMNS)}"]
    try:
        return SiteRow.model_validate(dict(zip(COLUMNS, cells, strict=True))), []
    except ValidationError as error:
        reasons = [
            ": ".join([*map(str, each["loc"]), each["msg"].removeprefix("Value error, ")]) for each in error.errors()
        ]
        return None, reasons


def _known_already(names: DrugNames, system: str, code: str) -> str:
    """Why a site must not say what this code means; "" when it may."""
    if system == ATC:
        return "an ATC code is read by itself and cannot be mapped"
    if system == RXNORM and names.rxnorm(code) is not None:
        return f"RxNorm code {code!r} is in the dictionary already"
    if system == SNOMED and names.coded(SNOMED, code) is not None:
        return f"SNOMED CT code {code!r} is in the dictionary already"
    return ""


def _not_readable_code(names: DrugNames, rxcui: str) -> str:
    """Why no drug can be told by a RxNorm code; "" when one can, or when none is given."""
    known = names.rxnorm(rxcui)
    if rxcui and known is None:
        return f"rxcui: RxNorm code {rxcui!r} is not in the dictionary; give the name instead"
    if known is not None and not known.ingredients:
        return f"rxcui: RxNorm code {rxcui!r} is a brand whose ingredients we do not know; give the name instead"
    return ""


def _not_readable_name(names: DrugNames, name: str) -> str:
    """Why the drug of a name cannot be told; "" when it can."""
    read = read_drug_text(names, name)
    if not read.ingredients:
        return f"name: {name!r}: {read.why_not}"
    if read.unrecognised:
        return f"name: {name!r}: not recognised beside the rest: {', '.join(read.unrecognised)}"
    return ""


def _told(file: str, problems: list[Problem]) -> list[Problem]:
    """The first problems, and how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return problems
    return [
        *problems[:MOST_PROBLEMS],
        Problem(file, problems[MOST_PROBLEMS].line, f"and {more} more problems from here"),
    ]
