"""Which reader a file gets, with what other files have to say of it: FHIR Medications, and the concepts of OMOP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safety_service.audit import files
from safety_service.audit.column_map import Map
from safety_service.audit.lines import plain_name
from safety_service.audit.read_csv import Batch, read_csv
from safety_service.audit.read_fhir import Medications, medications_of, read_fhir
from safety_service.audit.read_omop import Concepts, read_omop, table_of
from safety_service.audit.read_parquet import read_parquet

CONCEPT = "omop concept"


class Inputs:
    """Input files to read, and what one of them says of another. Raises InputError, MapError or OSError as readers do.

    `concepts` and `medications`: CONCEPT tables, and FHIR Medications by id, of files that were read before.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        told_map: Map,
        concepts: Sequence[Path] = (),
        medications: Mapping[str, str] = {},  # never written to
    ) -> None:
        mapped = [pattern for each in told_map.values() for pattern in each.files]
        self._omop: dict[Path, str] = {}
        for path in paths:
            if files.kind_of(path) != "fhir" and not any(Path(plain_name(path)).match(pattern) for pattern in mapped):
                first = next(_tabular(path), None)
                table = table_of(first.columns.column_names) if first is not None else ""
                if table:
                    self._omop[path] = table
        named = [path for path, table in self._omop.items() if table == "concept"]
        records = [path for path, table in self._omop.items() if table != "concept"]
        named = [*concepts, *named] if records else []
        self._concepts = Concepts(batch for path in named for batch in _tabular(path))
        if records and not len(self._concepts):
            raise files.InputError(
                f"{records[0].name} is a table of the OMOP CDM, and its concept ids say nothing without the CONCEPT "
                "table: name that file too"
            )
        found = medications_of(path for path in paths if files.kind_of(path) == "fhir")
        self.medications = {**medications, **found}

    def form(self, path: Path) -> str:
        """csv, parquet, fhir, or the table of the OMOP CDM."""
        return f"omop {self._omop[path]}" if path in self._omop else files.kind_of(path)

    def batches(self, path: Path, missed: set[str]) -> Iterator[Batch]:
        """The rows of a file; `missed` is told of the Medications that it refers to and that are not there."""
        if files.kind_of(path) == "fhir":
            return read_fhir(path, Medications(self.medications, missed))
        if path in self._omop:
            return read_omop(_tabular(path), self._concepts)
        return _tabular(path)


def _tabular(path: Path) -> Iterator[Batch]:
    return read_parquet(path) if files.kind_of(path) == "parquet" else read_csv(path)
