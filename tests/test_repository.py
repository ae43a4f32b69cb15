"""What a clone of the repository promises before any of it runs."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_pins_every_package_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 10
    assert [entry for entry in entries if not re.match(r"[\w.-]+==\S+.*\\\n +--hash=sha256:", entry)] == []


def test_locks_agree_with_each_other() -> None:
    runtime, gateway, dev, bench = (
        _pins(REQUIREMENTS / f"{each}.lock") for each in "runtime gateway dev bench".split()
    )
    assert runtime.items() <= gateway.items() <= dev.items()
    assert runtime.items() <= bench.items()
    assert "starlette" not in runtime
    assert {"hatchling", "grpcio-tools", "buf-bin"} <= dev.keys()


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))
