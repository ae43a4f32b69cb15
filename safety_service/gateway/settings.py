"""How the gateway is run: environment variables (MEDSAFETY_GATEWAY_...) and flags of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


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
        Field(description="File that feedback on cards is appended to, one JSON object a line. None: memory."),
    ] = None
    max_concurrent: Annotated[
        int, Field(ge=1, le=100_000, description="Calls at once; more are answered 503 with Retry-After.")
    ] = 256
    read_seconds: Annotated[float, Field(gt=0, le=300, description="Time that a client has to send its body.")] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged; calls are info.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"], Field(description="One JSON object a line, or lines for people.")
    ] = "json"

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")
