"""How both clients reach the server: message size, retries, deadlines."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

CHECK_SECONDS: Final = 2.0
BATCH_SECONDS: Final = 30.0
STREAM_SECONDS: Final = 600.0

# Checks change nothing and the same feedback is kept once, so a call that did not reach a server may be sent
# again: after about 0.1 s, 0.2 s and 0.4 s, each drawn at random around that, always within the deadline. The
# throttle stops retries once most calls fail, so that a server in trouble is not asked four times as often. One
# file for the clients of every language: clients/retry-policy.json.
SERVICE_CONFIG: Final[dict[str, Any]] = json.loads(files("medsafety").joinpath("retry-policy.json").read_bytes())

# A connection that a dying server let down is tried again as soon as the call is; gRPC alone would wait for a second,
# in which every retry fails.
CHANNEL_OPTIONS: Final[tuple[tuple[str, str | int], ...]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.enable_retries", 1),
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES + 64 * 1024),  # else a large batch is sent only once
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
)
