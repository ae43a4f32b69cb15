"""Does the engine itself, and not only a rule, read a limit or policy number? Its source says so."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import safety_service.engine


def engine_reads(name: str) -> bool:
    """Whether the engine's source names a limit (`indication.spasticity`) or a policy number (`policy.age...`)."""
    return f'"{name}"' in _source()


@cache
def _source() -> str:
    files = sorted(Path(safety_service.engine.__file__).parent.glob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files)
