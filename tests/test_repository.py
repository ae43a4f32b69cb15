"""What a clone of the repository promises before any of it runs."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
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


def test_the_node_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "clients" / "node" / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 10
    assert [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")] == []
    assert [name for name, each in packages.items() if "resolved" in each] == []


def test_the_python_client_ships_the_retry_policy_of_all_clients() -> None:
    shipped = ROOT / "clients" / "python" / "medsafety" / "retry-policy.json"
    assert shipped.read_bytes() == (ROOT / "clients" / "retry-policy.json").read_bytes()


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))
