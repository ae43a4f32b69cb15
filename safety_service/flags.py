"""The flags of a command, made from a settings class: one definition of name, type, default and help."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Annotated, Any, Optional

import typer
from annotated_types import Ge, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings


def flags_of(settings: type[BaseSettings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a function of `**given` so that typer gives it a flag for each field.

    Where a flag is not used, its environment variable counts, then the default; a default that must not be shown
    arrives as None. Range and form of a value are for the settings class to judge.
    """
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=_default(field), annotation=_flag(settings, name, field))
        for name, field in settings.model_fields.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate


def _flag(settings: type[BaseSettings], name: str, field: FieldInfo) -> Any:
    kind: Any = next((each for each in (bool, int, float) if field.annotation is each), str)
    dashed = name.replace("_", "-")
    option = typer.Option(
        f"--{dashed}/--no-{dashed}" if kind is bool else f"--{dashed}",
        help=f"{field.description or ''}{_range(field)}",
        envvar=f"{settings.model_config.get('env_prefix', '')}{name}".upper(),
    )
    return Annotated[Optional[kind], option]  # noqa: UP045  (a type made at run time)


def _range(field: FieldInfo) -> str:
    least = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    most = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    return "" if least is None or most is None else f" {least} to {most}."


def _default(field: FieldInfo) -> Any:
    return None if isinstance(field.default, SecretStr) else field.default
