"""Takes a few patients out of a run of clinosim, line by line as they are: SOURCE.txt has the command."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

KINDS = (
    "Patient", "MedicationRequest", "MedicationAdministration", "Condition", "AllergyIntolerance", "Procedure",
    "ServiceRequest", "Observation",
)  # fmt: skip
PATIENTS = 40
OF_A_KIND, OF_OTHER_TESTS = 25, 3  # lines of a patient
TESTS = ("1742-6", "1920-8", "6768-6", "2160-0")


def read(folder: Path, kind: str) -> Iterator[tuple[str, str, str]]:
    """The patient, the line, and the first code of each resource of a kind."""
    for line in (folder / f"{kind}.ndjson").read_text().splitlines():
        resource = json.loads(line)
        who = resource.get("subject", resource.get("patient", {})).get("reference", f"Patient/{resource['id']}")
        coding = resource.get("code", {}).get("coding") or [{}]
        yield who, line, coding[0].get("code", "")


def main(folder: Path, out: Path) -> None:
    orders = list(read(folder, "MedicationRequest"))
    relaxed = {who for who, line, _ in orders if "cyclobenzaprine" in line.lower()}
    chosen = set(sorted({who for who, _, _ in orders}, key=lambda who: (who not in relaxed, who))[:PATIENTS])
    lines: list[str] = []
    for kind in KINDS:
        kept: Counter[tuple[str, bool]] = Counter()
        for who, line, code in read(folder, kind):
            other = kind == "Observation" and code not in TESTS
            if who in chosen and kept[who, other] < (OF_OTHER_TESTS if other else OF_A_KIND):
                kept[who, other] += 1
                lines.append(line)
    out.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
