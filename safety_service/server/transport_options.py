"""What the transport itself is held to: sizes, streams, pings and ages of connections, as grpc names them."""

from __future__ import annotations

from safety_service.server.limits import METADATA_BYTES
from safety_service.server.settings import Settings

_AGE_GRACE_SECONDS = 600  # for what runs when a connection has reached its age: as long as a client gives a stream
_PINGS_SECONDS = 10  # least time between two pings of a client; three too early, and it is sent away
_MOST_PINGS_TOO_EARLY = 2


def transport_options(settings: Settings, *, shared: bool = False) -> tuple[tuple[str, int], ...]:
    """Options for `grpc.server`; `shared`: of one worker of several, whose connections move between them."""
    age = settings.connection_age_seconds
    if shared and settings.connection_seconds:
        age = min(age, settings.connection_seconds)
    return (
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        # Between the two a call would be refused by chance: here there is one limit.
        ("grpc.max_metadata_size", METADATA_BYTES.value),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES.value),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.server_handshake_timeout_ms", _ms(settings.handshake_seconds)),
        ("grpc.max_connection_age_ms", _ms(age)),
        ("grpc.max_connection_age_grace_ms", _ms(_AGE_GRACE_SECONDS)),
        ("grpc.max_connection_idle_ms", _ms(settings.connection_idle_seconds)),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(min(settings.keepalive_seconds, 20))),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(_PINGS_SECONDS)),
        ("grpc.http2.max_ping_strikes", _MOST_PINGS_TOO_EARLY),
        ("grpc.keepalive_permit_without_calls", 1),
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
