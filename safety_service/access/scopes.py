"""What a caller may do, and which scope each method asks for: one table. What is not in it, nobody may call."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final


class Scope(StrEnum):
    """The value is the word in a token's `scope` and in the file of callers."""

    CHECK = "check"
    KNOWLEDGE = "knowledge"
    FEEDBACK = "feedback"
    ADMIN = "admin"


class Anybody(Enum):
    """For methods that ask for no credentials."""

    MAY = "anybody may call"


EVERY: Final = frozenset(Scope)
_ADMIN_READS: Final = "GetTopChannels GetServers GetServer GetServerSockets GetChannel GetSubchannel GetSocket".split()
_KNOWLEDGE: Final = (
    "GetKnowledge GetMedication ListMedications ResolveMedication GetRule ListRules GetCareOption ListCareOptions "
    "ListSources".split()
)
_TABLE: Final[Mapping[str, Mapping[str, Scope | Anybody]]] = {
    "medsafety.v1.MedicationSafetyService": {
        "CheckPrescription": Scope.CHECK,
        "BatchCheckPrescriptions": Scope.CHECK,
        "StreamCheckPrescriptions": Scope.CHECK,
    },
    "medsafety.v1.KnowledgeService": dict.fromkeys(_KNOWLEDGE, Scope.KNOWLEDGE),
    "medsafety.v1.FeedbackService": {
        "RecordFeedback": Scope.FEEDBACK,
        "SummarizeAlerts": Scope.ADMIN,
    },
    # Whoever balances the load has no credentials, and health tells nothing but whether it serves.
    "grpc.health.v1.Health": {"Check": Anybody.MAY, "Watch": Anybody.MAY, "List": Scope.ADMIN},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": Scope.ADMIN},
    "grpc.channelz.v1.Channelz": dict.fromkeys(_ADMIN_READS, Scope.ADMIN),
}
METHODS: Final[Mapping[str, Scope | Anybody]] = MappingProxyType(
    {f"/{service}/{name}": scope for service, methods in _TABLE.items() for name, scope in methods.items()}
)


def scopes_of(words: str | list[str]) -> frozenset[Scope]:
    """The scopes among words, as a token's `scope` or `scp` holds them; words of other services are passed over."""
    said = set(words.split() if isinstance(words, str) else words)
    return frozenset(each for each in Scope if each.value in said)
