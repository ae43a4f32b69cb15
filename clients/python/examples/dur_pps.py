"""Writes an alert into the DUR/PPS segment of an NCPDP Telecom D.0 claim: what a pharmacy sends, field by field.

    python dur_pps.py request.json                          what the alerts propose
    python dur_pps.py request.json --acted dose-changed     with what the pharmacist did about them

The service proposes the reason (439-E4) and how serious it is (528-FS). What was done about it (440-E5, 441-E6) is the
pharmacist's act: it is chosen by a person, never filled in from an alert.

Left out, since no source at hand says what their values mean or the service does not know them: level of effort
(474-8E), co-agent (475-J9, 476-H6), other pharmacy and prescriber and previous fill (529-FT, 530-FU, 531-FV, 533-FX),
database indicator (532-FW); and how a segment is framed: its identifier, counter, separators and field lengths.

Sources: field ids from a Medicaid companion guide for Telecom D.0 (Wisconsin); code values from the public-domain VistA
tables "BPS NCPDP" (WorldVistA/VistA-M, E Claims Management Engine), cross-checked with the ResDAC variable "Drug
Utilization Code". The words are ours; NCPDP's own definitions are its copyright and are not copied.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from google.protobuf import json_format

from medsafety import CheckPrescriptionRequest, MedsafetyClient
from medsafety.v1.decision_pb2 import Alert

REASON, SERVICE, RESULT, SIGNIFICANCE, TEXT = "439-E4", "440-E5", "441-E6", "528-FS", "544-FY"

# Those that rules of the service name; a list of NCPDP holds more.
REASONS: Mapping[str, str] = {
    "AT": "additive toxicity",
    "DA": "drug-allergy",
    "DD": "drug-drug",
    "DL": "drug-lab conflict",
    "DR": "dose range conflict",
    "ED": "patient education",
    "ER": "overuse, early refill",
    "EX": "excessive quantity",
    "HD": "high dose",
    "ID": "ingredient duplication",
    "MC": "drug-disease, reported",
    "MS": "missing information or clarification",
    "MX": "excessive duration",
    "NN": "unnecessary drug",
    "NR": "lactation",
    "NS": "insufficient quantity",
    "OH": "alcohol",
    "PA": "drug-age",
    "PG": "pregnancy",
    "SD": "suboptimal drug or indication",
    "SE": "side effect",
    "SR": "suboptimal regimen",
    "TD": "therapeutic duplication",
    "TN": "laboratory test needed",
}


class Act(NamedTuple):
    """What a pharmacist did: professional service (440-E5) and its result (441-E6)."""

    service: str
    result: str
    words: str


ACTS: Mapping[str, Act] = {
    "will-monitor": Act("MP", "1B", "patient will be monitored; filled as is"),
    "tolerated-before": Act("PA", "1B", "tolerated before; filled as is"),
    "prescriber-confirmed": Act("M0", "1G", "prescriber consulted; filled with approval"),
    "prescriber-declined": Act("M0", "3B", "prescriber consulted; recommendation not accepted"),
    "counselled": Act("PE", "3K", "patient educated; instructions understood"),
    "dose-changed": Act("M0", "1C", "prescriber consulted; filled with a different dose"),
    "directions-changed": Act("M0", "1D", "prescriber consulted; filled with different directions"),
    "drug-changed": Act("M0", "1E", "prescriber consulted; filled with a different drug"),
    "quantity-changed": Act("M0", "1F", "prescriber consulted; filled with a different quantity"),
    "not-dispensed": Act("M0", "2A", "prescriber consulted; not dispensed"),
    "stopped": Act("M0", "3C", "prescriber consulted; discontinued"),
    "other-drug-ended": Act("PH", "1A", "medication history; false positive, filled as is"),
    "false-positive": Act("00", "1A", "no service; false positive, filled as is"),
}


def segments(alert: Alert, acted: Act | None = None) -> Iterator[dict[str, str]]:
    """The fields of the segment, by field id: once for each reason code of the alert, most fitting first.

    Nothing is yielded for an alert without a reason code, or taken with view BRIEF, which holds none.
    """
    for reason in alert.dur_codes:
        fields = {REASON: reason}
        if acted is not None:
            fields |= {SERVICE: acted.service, RESULT: acted.result}
        yield fields | {SIGNIFICANCE: str(alert.clinical_significance), TEXT: alert.title}


def main() -> None:
    """Asks a running server about the request in a file, and prints the fields of every alert."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("request", type=Path, help="a CheckPrescriptionRequest as JSON")
    parser.add_argument("--server", default="127.0.0.1:50551", help="host:port")
    parser.add_argument("--acted", choices=sorted(ACTS), help="what the pharmacist did about these alerts")
    options = parser.parse_args()
    acted = ACTS[options.acted] if options.acted else None

    request = json_format.Parse(options.request.read_bytes(), CheckPrescriptionRequest())
    with MedsafetyClient(options.server, timeout=10) as client:
        decision = client.check(request).decision
    for alert in decision.alerts:
        for fields in segments(alert, acted):
            print(" ".join(f"{field}={value}" for field, value in fields.items() if field != TEXT))
            print(f"  {TEXT}={fields[TEXT]}")
            print(f"  {REASONS.get(fields[REASON], '')}{f' · {acted.words}' if acted else ''}  ({alert.rule_id})")


if __name__ == "__main__":
    main()
