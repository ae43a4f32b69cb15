from typing import Any

import pytest
from pydantic import ValidationError

from safety_service.engine.check import DEFAULT_FINGERPRINT_KEY
from safety_service.server.settings import Settings


def test_the_defaults_serve_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDSAFETY_LISTEN", raising=False)
    settings = Settings()

    assert settings.listen == "127.0.0.1:50551"
    assert settings.threads == 4
    assert settings.key == DEFAULT_FINGERPRINT_KEY
    assert settings.has_default_key


def test_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAFETY_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("MEDSAFETY_GRACE_SECONDS", "2.5")
    monkeypatch.setenv("MEDSAFETY_REFLECTION", "false")

    settings = Settings()

    assert (settings.listen, settings.grace_seconds, settings.reflection) == ("127.0.0.1:0", 2.5, False)


def test_a_flag_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAFETY_THREADS", "8")

    assert Settings(threads=2).threads == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threads", 0),
        ("grace_seconds", -1),
        ("log_level", "loud"),
        ("fingerprint_key", ""),
        ("fingerprint_key", "x" * 65),
        ("listen", ""),
        ("no_such_field", 1),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Settings(**{field: value})


def test_a_burst_has_one_for_each_worker() -> None:
    assert Settings(workers=4, rate_per_second=9, rate_burst=4).rate_burst == 4
    assert Settings(workers=4, rate_burst=3).rate_burst == 3, "without a rate there is no burst"
    with pytest.raises(ValidationError) as raised:
        Settings(workers=4, rate_per_second=9, rate_burst=3)
    assert [each["loc"] for each in raised.value.errors()] == [("rate_burst",)]


def test_a_default_burst_is_looked_at_too() -> None:
    with pytest.raises(ValidationError, match="rate_burst"):
        Settings(workers=101, rate_per_second=1)


def test_the_key_is_not_shown() -> None:
    settings = Settings(fingerprint_key="a secret of the site")

    assert settings.key == b"a secret of the site"
    assert "a secret" not in f"{settings!r}{settings.model_dump_json()}"


def test_every_setting_is_explained() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
