"""How the server is run: environment variables (MEDSAFETY_...) and flags of the same names, all with safe defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from safety_service.engine.check import DEFAULT_FINGERPRINT_KEY


class Settings(BaseSettings):
    """Everything that may be set. A field `listen` is the variable MEDSAFETY_LISTEN and the flag --listen."""

    model_config = SettingsConfigDict(env_prefix="MEDSAFETY_", extra="forbid", frozen=True)

    listen: Annotated[
        str, Field(min_length=1, description="Address and port to serve on; port 0 takes a free one, which is logged.")
    ] = "127.0.0.1:50551"
    workers: Annotated[
        int,
        Field(
            ge=1,
            le=256,
            description="Processes that answer on the same port, each pinned to a core. With more than one, a "
            "supervisor starts, replaces and stops them.",
        ),
    ] = 1
    threads: Annotated[
        int, Field(ge=1, le=64, description="Threads that answer checks. More do not make the work of one core faster.")
    ] = 4
    max_streams: Annotated[
        int, Field(ge=1, le=1024, description="Streams open at once; each has a thread of its own.")
    ] = 64
    max_waiting: Annotated[
        int, Field(ge=1, le=100_000, description="Calls that may wait for a thread; more are answered OVERLOADED.")
    ] = 256
    batch_threads: Annotated[
        int, Field(ge=1, le=16, description="Threads that answer batches, which give way to single checks.")
    ] = 1
    max_waiting_batches: Annotated[
        int, Field(ge=1, le=1024, description="Batches that may wait for a thread; more are answered OVERLOADED.")
    ] = 16
    max_concurrent_rpcs: Annotated[
        int, Field(ge=2, le=1_000_000, description="Calls of any kind at once; more are refused by the transport.")
    ] = 1024
    max_receive_bytes: Annotated[
        int,
        Field(
            ge=64 * 1024,
            le=64 * 1024 * 1024,
            description="Largest message that is read at all. Between the limit of a request (4 MiB) and this it is "
            "refused with a reason; above, by the transport.",
        ),
    ] = 8 * 1024 * 1024
    grace_seconds: Annotated[
        float, Field(ge=0, le=3600, description="Time that running calls have to end when the server stops.")
    ] = 10.0
    drain_seconds: Annotated[
        float,
        Field(
            ge=0, le=600, description="Time between NOT_SERVING and refusing new calls, for a load balancer to notice."
        ),
    ] = 0.0
    deadline_floor_ms: Annotated[
        int, Field(ge=0, le=60_000, description="A call with no more time left than this is not begun.")
    ] = 0
    connection_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="With several workers a connection is told to go after about so long, which loses no call: the "
            "client opens another. It spreads clients over workers, and lets a worker leave. 0: after "
            "--connection-age-seconds only.",
        ),
    ] = 30.0
    recycle_calls: Annotated[
        int, Field(ge=0, le=10**12, description="A worker is replaced after so many calls; 0: never.")
    ] = 0
    recycle_mb: Annotated[
        int, Field(ge=0, le=10**6, description="A worker is replaced above so many MB of memory; 0: never.")
    ] = 0
    admin_listen: Annotated[
        str,
        Field(
            description="Address of a second port, for operators only: health of the whole, reflection, channelz. "
            "Without it there is none."
        ),
    ] = ""
    metrics_listen: Annotated[
        str, Field(description="Address for Prometheus, over HTTP and for operators only; needs the extra [metrics].")
    ] = ""
    trace_endpoint: Annotated[
        str,
        Field(
            description="Where spans go: OTLP over gRPC without TLS, such as http://127.0.0.1:4317; needs the extra "
            "[tracing]. Without it nothing is traced."
        ),
    ] = ""
    trace_ratio: Annotated[
        float, Field(ge=0, le=1, description="Share of the calls traced, of those whose caller does not say.")
    ] = 0.01
    reflection: Annotated[bool, Field(description="Let clients ask for the contract.")] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged; calls are info.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"], Field(description="One JSON object a line, or lines for people.")
    ] = "json"
    fingerprint_key: Annotated[
        SecretStr,
        Field(
            description="Key of the fingerprints of alerts and of page tokens, 1 to 64 bytes; the same on all servers. "
            "With the default one, who knows a patient's pseudonym can recompute them."
        ),
    ] = SecretStr(DEFAULT_FINGERPRINT_KEY.decode())
    policy_file: Annotated[
        Path | None, Field(description="What the site changes of the default policy; held to a floor.")
    ] = None
    knowledge_dir: Annotated[Path | None, Field(description="Knowledge to use in place of the built-in one.")] = None
    site_codes: Annotated[
        Path | None,
        Field(description="CSV of drug codes of your site, NDC for one: columns system, code, and rxcui or name."),
    ] = None

    knowledge_key: Annotated[
        Path | None,
        Field(
            description="Public ed25519 key (PEM). Knowledge is used only if its folder was signed with the private "
            "one: see knowledge sign."
        ),
    ] = None
    watch_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Look so often whether knowledge, policy or site codes have changed, and use what stands still "
            "for one more look; 0: only on SIGHUP.",
        ),
    ] = 0.0
    tls_certificate: Annotated[
        Path | None,
        Field(description="PEM file of the certificate chain to serve with; read again when it changes. None: no TLS."),
    ] = None
    tls_key: Annotated[Path | None, Field(description="PEM file of the private key of the certificate.")] = None
    client_authorities: Annotated[
        Path | None,
        Field(description="PEM file of the authorities of clients: with it every client must show a certificate."),
    ] = None
    callers_file: Annotated[
        Path | None,
        Field(
            description="YAML file of who may call, each with scopes and hashed keys or certificates; read again when "
            "it changes. See docs/security.md."
        ),
    ] = None
    jwks_file: Annotated[
        Path | None,
        Field(description="JSON file of the keys that sign tokens (JWKS); read again when it changes."),
    ] = None
    token_issuer: Annotated[str, Field(description="The iss of tokens signed with those keys.")] = ""
    token_audience: Annotated[str, Field(description="The aud that tokens must be made out to.")] = ""
    token_leeway_seconds: Annotated[
        float, Field(ge=0, le=300, description="How far the clock of who signs tokens may be off.")
    ] = 30.0
    allow_anonymous: Annotated[
        bool,
        Field(
            description="Serve everybody on an address that is not loopback: something before it must ask who calls. "
            "Without this and without credentials the server does not start there."
        ),
    ] = False
    rate_per_second: Annotated[
        float,
        Field(
            ge=0,
            le=1_000_000,
            description="Requests of each caller in the long run, items of a batch counted each; more are answered "
            "RATE_EXCEEDED, streams are slowed. Of several workers each gives its share. 0: no limit.",
        ),
    ] = 0.0
    rate_burst: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            validate_default=True,
            description="Requests of a caller at once; with --rate-per-second not less than --workers.",
        ),
    ] = 100
    max_concurrent_streams: Annotated[
        int, Field(ge=1, le=10_000, description="Calls at once on one connection; clients keep more to themselves.")
    ] = 128
    read_seconds: Annotated[
        float, Field(ge=0.1, le=300, description="Time to send one request; then the call is ended.")
    ] = 10.0
    handshake_seconds: Annotated[
        float, Field(ge=0.1, le=120, description="Time to begin a connection, TLS and all; then it is closed.")
    ] = 10.0
    connection_age_seconds: Annotated[
        float,
        Field(ge=1, le=86_400, description="A connection has to begin anew after this, and to show its certificate."),
    ] = 3600.0
    connection_idle_seconds: Annotated[
        float, Field(ge=1, le=86_400, description="A connection without a call is closed after this.")
    ] = 900.0
    keepalive_seconds: Annotated[
        float, Field(ge=1, le=7200, description="A silent client is asked after this whether it is still there.")
    ] = 60.0
    site: Annotated[
        str,
        Field(max_length=100, description="Name of the site, for decisions of callers who have no name of their own."),
    ] = ""
    decisions_dir: Annotated[
        Path | None,
        Field(description="Folder that decisions and feedback are recorded in before the answer. None: nowhere."),
    ] = None
    decisions_required: Annotated[
        Literal["refuse", "answer"],
        Field(
            description="Where a decision cannot be recorded: refuse the call (UNAVAILABLE), or answer it, marked "
            "not_logged."
        ),
    ] = "refuse"
    decisions_fsync: Annotated[
        bool, Field(description="Wait until a record is on the disk: it then survives a loss of power too.")
    ] = False
    decisions_key_file: Annotated[
        Path | None,
        Field(
            description="File of at least 16 bytes, the key of the pseudonyms of patients and orders; the same on all "
            "servers. None: made from the fingerprint key."
        ),
    ] = None
    decisions_segment_bytes: Annotated[
        int, Field(ge=64 * 1024, le=1024**3, description="Size at which a new file of records is begun.")
    ] = 64 * 1024 * 1024
    decisions_index: Annotated[
        str,
        Field(
            description="Index that summaries are read from: the path of a SQLite file, or a postgresql:// address. "
            "Empty: index.sqlite in the folder of the decisions."
        ),
    ] = ""

    @field_validator("fingerprint_key")
    @classmethod
    def _key_fits(cls, key: SecretStr) -> SecretStr:
        if not 1 <= len(key.get_secret_value().encode()) <= 64:
            raise ValueError("1 to 64 bytes")
        return key

    @field_validator("rate_burst")
    @classmethod
    def _each_worker_has_one(cls, burst: int, given: ValidationInfo) -> int:
        if given.data.get("rate_per_second") and burst < given.data.get("workers", 1):
            raise ValueError("not less than --workers, each of which gives its share")
        return burst

    @property
    def key(self) -> bytes:
        """The fingerprint key."""
        return self.fingerprint_key.get_secret_value().encode()

    @property
    def has_default_key(self) -> bool:
        """Whether anyone can know the key."""
        return self.key == DEFAULT_FINGERPRINT_KEY

    @property
    def is_locked(self) -> bool:
        """Whether callers have to show who they are."""
        return not (self.callers_file is None and self.jwks_file is None and self.client_authorities is None)
