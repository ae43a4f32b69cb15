"""How the gateway is run: environment variables (MEDSAFETY_GATEWAY_...) and flags of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from safety_service.gateway.addresses import server_url


class GatewaySettings(BaseSettings):
    """Everything of the gateway's own that may be set. Knowledge, policy and fingerprint key are those of `serve`."""

    model_config = SettingsConfigDict(env_prefix="MEDSAFETY_GATEWAY_", extra="forbid", frozen=True)

    listen: Annotated[
        str,
        Field(
            pattern=r".+:\d{1,5}", description="Address and port to serve on; port 0 takes a free one, which is logged."
        ),
    ] = "127.0.0.1:8080"
    public_url: Annotated[
        str,
        Field(
            pattern=r"(https?://[^\s/]+(/[^\s]*)?)?",
            description="Address under which clients reach it, for the links of cards. Empty: that of --listen.",
        ),
    ] = ""
    allow_origins: Annotated[
        str, Field(description="Web origins whose pages may call it, separated by commas; * allows all.")
    ] = "*"
    feedback_file: Annotated[
        Path | None,
        Field(
            description="File that feedback on cards is appended to, one JSON object a line. None: the "
            "folder of the decisions where that is set, else memory."
        ),
    ] = None
    clients_file: Annotated[
        Path | None,
        Field(
            description="YAML file of the clients that may call, each with iss and jku or jwks. With it every call "
            "needs a token; None: everybody may call, so put something before it that asks who calls."
        ),
    ] = None
    allow_sandbox_key: Annotated[
        bool, Field(description="Trust the key of the public CDS Hooks sandbox, which everybody can sign with.")
    ] = False
    page: Annotated[
        Literal["auto", "on", "off"],
        Field(description="The page at / and the check behind it, which ask for no token; auto: without clients file."),
    ] = "auto"
    tls_certificate: Annotated[
        Path | None, Field(description="PEM file of the certificate chain to serve with. None: plain HTTP.")
    ] = None
    tls_key: Annotated[Path | None, Field(description="PEM file of the private key of the certificate.")] = None
    tls_client_authorities: Annotated[
        Path | None,
        Field(
            description="PEM file of the authorities whose certificates clients must show (mutual TLS), with "
            "--tls-certificate. None: clients show none."
        ),
    ] = None
    fhir_servers: Annotated[
        str,
        Field(
            description="FHIR servers, separated by commas, that are asked for prefetch which was not sent, with the "
            "token of the call; those of the clients file besides. Others are never asked."
        ),
    ] = ""
    fetch_seconds: Annotated[
        float, Field(gt=0, le=60, description="Time for all that is fetched for one call; the rest is not known.")
    ] = 1.0
    authorities_file: Annotated[
        Path | None, Field(description="PEM file of the authorities to trust for other servers. None: the system's.")
    ] = None
    max_concurrent: Annotated[
        int, Field(ge=1, le=100_000, description="Calls at once; more are answered 503 with Retry-After.")
    ] = 256
    calls_per_second: Annotated[
        float,
        Field(
            ge=0,
            le=100_000,
            description="Calls a second of one client, by its token, or of one address where there are no tokens; more "
            "are answered 429 with Retry-After. The clients file may say otherwise for a client. 0: no limit.",
        ),
    ] = 0
    burst: Annotated[
        int, Field(ge=1, le=100_000, description="Calls that a client may make at once before that limit counts.")
    ] = 50
    read_seconds: Annotated[
        float, Field(gt=0, le=300, description="Time that a client has to send its headers, and then its body.")
    ] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged; calls are info.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"], Field(description="One JSON object a line, or lines for people.")
    ] = "json"

    @field_validator("fhir_servers")
    @classmethod
    def _servers(cls, servers: str) -> str:
        return ",".join(server_url(each.strip()) for each in servers.split(",") if each.strip())

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")
