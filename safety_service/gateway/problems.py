"""What is wrong with a call, as it is answered: a status and a FHIR OperationOutcome, nothing of what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safety_service.server.limits import VIOLATION_BYTES

FHIR_JSON = "application/fhir+json"


class ProblemError(Exception):
    """A call that is not answered. `issues` are (code, text, member); `headers` go with the answer."""

    def __init__(
        self, status: int, issues: Sequence[tuple[str, str, str]], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status}: {len(issues)} issues")
        self.status = status
        self.issues = issues
        self.headers = dict(headers or {})

    def outcome(self) -> dict[str, Any]:
        """The OperationOutcome; issues that do not fit are counted."""
        room = VIOLATION_BYTES.value
        found: list[dict[str, Any]] = []
        for code, text, member in self.issues:
            room -= len(text) + len(member) + 8
            if room < 0 and found:
                found.append(_issue("informational", f"and {len(self.issues) - len(found)} more", ""))
                break
            found.append(_issue(code, text, member))
        return {"resourceType": "OperationOutcome", "issue": found}


def _issue(code: str, text: str, member: str) -> dict[str, Any]:
    severity = "information" if code == "informational" else "error"
    issue: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": f"{member}: {text}" if member else text}
    if member:
        issue["expression"] = [member]
    return issue


def refused(
    status: int, code: str, text: str, member: str = "", headers: Mapping[str, str] | None = None
) -> ProblemError:
    """One issue."""
    return ProblemError(status, [(code, text, member)], headers)
