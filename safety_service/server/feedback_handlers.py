"""FeedbackService: bytes of a request in, bytes of an answer out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from medsafety.v1 import feedback_service_pb2 as wire
from safety_service.decisions import summary
from safety_service.decisions.index import IndexBusyError, IndexUnavailableError
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import ALERT_ID, Feedback
from safety_service.decisions.segment import CannotWriteError
from safety_service.server import limits
from safety_service.server.encode import timestamp
from safety_service.server.errors import Reason, RefusedError, invalid, refusal
from safety_service.server.handlers import RETRY_RECORD_MS, parsed

SERVICE = "medsafety.v1.FeedbackService"
MOST_ITEMS = 500
MOST_COMMENT = 10_000
MOST_SUGGESTIONS = 100
_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])", re.ASCII)
_OUTCOMES: Mapping[int, Literal["accepted", "overridden"]] = {
    wire.FEEDBACK_OUTCOME_ACCEPTED: "accepted",
    wire.FEEDBACK_OUTCOME_OVERRIDDEN: "overridden",
}


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where feedback goes and sums come from; None and "": nowhere."""

    decisions: DecisionLog | None
    index: str
    sums: summary.Sums = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums", summary.Sums(self.index))


def record_feedback(keeping: Keeping, data: bytes, caller: str) -> Message:
    """RecordFeedback. Raises RefusedError."""
    sent = parsed(wire.RecordFeedbackRequest, data)
    if keeping.decisions is None:
        raise _not_kept()
    if len(sent.items) > MOST_ITEMS:
        raise invalid([("items", f"at most {MOST_ITEMS} items")], True)
    wrong: list[tuple[str, str]] = []
    items = [_read(each, f"items[{i}]", wrong) for i, each in enumerate(sent.items)]
    if wrong:
        raise invalid(wrong, False)
    try:
        ids = keeping.decisions.take(items, caller)
    except CannotWriteError:
        message = "the feedback could not be recorded: send it again"
        raise refusal(Reason.NOT_RECORDED, message, retry_ms=RETRY_RECORD_MS) from None
    return wire.RecordFeedbackResponse(feedback_ids=ids)


def _read(sent: wire.Feedback, path: str, wrong: list[tuple[str, str]]) -> Feedback:
    feedback_id, name = sent.feedback_id, limits.NAME_CHARACTERS.value
    if len(feedback_id) > limits.REQUEST_ID.value or not feedback_id.isascii() or not (feedback_id + "x").isprintable():
        wrong.append((f"{path}.feedback_id", f"at most {limits.REQUEST_ID.value} printable ASCII characters"))
    if not ALERT_ID.fullmatch(sent.alert_id):
        wrong.append((f"{path}.alert_id", "required: the UUID of an alert or card"))
    outcome = _OUTCOMES.get(sent.outcome)
    if outcome is None:
        wrong.append((f"{path}.outcome", "must be ACCEPTED or OVERRIDDEN"))
    reason = sent.reason
    if sent.HasField("reason") and not reason.code:
        wrong.append((f"{path}.reason.code", "required"))
    for part in ("system", "code", "display"):
        if len(getattr(reason, part)) > name:
            wrong.append((f"{path}.reason.{part}", f"at most {name} characters"))
    if len(sent.comment) > MOST_COMMENT:
        wrong.append((f"{path}.comment", f"at most {MOST_COMMENT} characters"))
    suggestions = tuple(sent.accepted_suggestion_ids)
    if len(suggestions) > MOST_SUGGESTIONS or any(len(each) > name for each in suggestions):
        wrong.append((f"{path}.accepted_suggestion_ids", f"at most {MOST_SUGGESTIONS}, each of {name} characters"))
    return Feedback(
        alert_id=sent.alert_id.lower(),
        outcome=outcome or "accepted",
        id=feedback_id,
        system=reason.system,
        code=reason.code,
        display=reason.display,
        comment=sent.comment,
        at=_time(sent.occurred_at, path, wrong) if sent.HasField("occurred_at") else "",
        accepted_suggestions=suggestions,
    )


def _time(sent: Timestamp, path: str, wrong: list[tuple[str, str]]) -> str:
    try:
        return sent.ToJsonString()
    except ValueError:
        wrong.append((f"{path}.occurred_at", "must be a time of the years 1 to 9999"))
        return ""


def summarize_alerts(keeping: Keeping, data: bytes, caller: str) -> Message:
    """SummarizeAlerts. Raises RefusedError."""
    sent = parsed(wire.SummarizeAlertsRequest, data)
    if not keeping.index:
        raise _not_kept()
    months = (("from_month", sent.from_month), ("to_month", sent.to_month))
    wrong = [
        (path, 'must be a month, as in "2026-11"') for path, month in months if month and not _MONTH.fullmatch(month)
    ]
    if wrong:
        raise invalid(wrong, False)
    asked = summary.Asked(sent.from_month, sent.to_month, sent.rule_id, sent.site)
    try:
        return encode_summary(keeping.sums.ask(asked))
    except IndexBusyError:
        message = "another question for sums is being answered: ask again"
        raise refusal(Reason.OVERLOADED, message, retry_ms=RETRY_RECORD_MS) from None
    except IndexUnavailableError:
        message = "the index cannot be read: is `decisions index --follow` running?"
        raise refusal(Reason.INDEX_UNAVAILABLE, message, retry_ms=RETRY_RECORD_MS) from None


def encode_summary(found: summary.Summary) -> wire.SummarizeAlertsResponse:
    """The sums on the wire."""
    return wire.SummarizeAlertsResponse(
        summaries=[_row(each) for each in found.rows],
        indexed_to=None if found.indexed_to is None else timestamp(found.indexed_to),
    )


def _row(row: summary.AlertSummary) -> wire.AlertSummary:
    return wire.AlertSummary(
        rule_id=row.rule_id,
        site=row.site,
        month=row.month,
        orders=row.orders,
        fired=row.fired,
        suppressed=row.suppressed,
        overridden=row.overridden,
        accepted=row.accepted,
        fired_per_100=row.per_100(row.fired),
        suppressed_per_100=row.per_100(row.suppressed),
        overridden_per_100=row.per_100(row.overridden),
        reasons=[
            wire.OverrideReasonCount(
                reason=wire.OverrideReason(system=each.system, code=each.code, display=each.display)
                if each.code
                else None,
                count=each.orders,
            )
            for each in row.reasons
        ],
    )


def _not_kept() -> RefusedError:
    return refusal(Reason.NOT_KEPT, "this server keeps no decisions: --decisions-dir is not set")


METHODS: Mapping[str, Callable[[Keeping, bytes, str], Message]] = {
    "RecordFeedback": record_feedback,
    "SummarizeAlerts": summarize_alerts,
}
