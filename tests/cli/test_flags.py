"""Flags made from settings: every field is one, and a flag wins over the environment."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from typer.testing import CliRunner

from safety_service import cli
from safety_service.flags import flags_of
from safety_service.server.settings import Settings


class Example(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    port: Annotated[int, Field(ge=1, le=9, description="Where.")] = 5
    loud: Annotated[bool, Field(description="How.")] = True
    key: Annotated[SecretStr, Field(description="A secret.")] = SecretStr("hidden")


def run(*arguments: str, **environment: str) -> Any:
    given: dict[str, object] = {}

    def command(**flags: object) -> None:
        """Example."""
        given.update(flags)

    app = typer.Typer()
    app.command()(flags_of(Example)(command))
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "100", **environment})
    return (given, result) if "--help" in arguments else given


def test_flag_then_environment_then_default() -> None:
    assert run() == {"port": 5, "loud": True, "key": None}
    assert run(EXAMPLE_PORT="7", EXAMPLE_LOUD="false") == {"port": 7, "loud": False, "key": None}
    assert run("--port", "8", "--loud", EXAMPLE_PORT="7", EXAMPLE_LOUD="false") == {
        "port": 8,
        "loud": True,
        "key": None,
    }


def test_the_help_has_range_default_and_variable_but_no_secret() -> None:
    _, result = run("--help")
    text = " ".join(result.stdout.replace("│", " ").split())
    assert "Where. 1 to 9." in text
    assert "EXAMPLE_PORT" in text
    assert "default: 5" in text
    assert "--no-loud" in text
    assert "hidden" not in text


def test_serve_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(cli, "run", served.append)
    given = {
        "listen": "127.0.0.1:1",
        "threads": 2,
        "grace_seconds": 1.5,
        "reflection": False,
        "log_level": "error",
        "fingerprint_key": "another",
        "policy_file": "policy.yaml",
    }
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if name != "reflection"]
    result = CliRunner().invoke(cli.app, ["serve", *arguments, "--no-reflection"], env={"MEDSAFETY_MAX_STREAMS": "3"})
    assert result.exit_code == 0, result.output
    (settings,) = served
    assert settings == Settings(**given, max_streams=3)  # type: ignore[arg-type]
    assert settings.fingerprint_key.get_secret_value() == "another"


def test_without_flags_the_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(cli, "run", served.append)
    assert CliRunner().invoke(cli.app, ["serve"]).exit_code == 0
    assert served == [Settings()]


def test_a_value_out_of_range_names_flag_and_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "run", lambda settings: None)
    result = CliRunner().invoke(cli.app, ["serve", "--threads", "0", "--log-format", "xml"])
    assert result.exit_code == 2
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "--threads (MEDSAFETY_THREADS)",
        "--log-format (MEDSAFETY_LOG_FORMAT)",
    ]
