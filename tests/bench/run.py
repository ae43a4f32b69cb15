"""`make bench`: ratios from interleaved runs, against peers on the same machine in the same minutes.

Prints what was met and what was not, and fails only when two that must answer alike do not.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

# An installed package (textstat) brings a `tests` of its own, which would hide ours.
sys.modules["tests"] = ModuleType("tests")
sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from safety_service.cases import read_cases
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.meaning import Truth
from tests.bench import against_cel, crosscutting, doors, gateway, inside, many_rules, recorded, served, workers
from tests.bench.against_cel import AnswersDifferError
from tests.bench.benchmark_set import fact_cases
from tests.bench.figures import HEAD, Row, table
from tests.bench.load import LoadError, pin_load
from tests.bench.served import Effort

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = ("rules", "many", "server", "around", "workers", "doors", "gateway", "record", "start")
FULL = Effort(rounds=9, samples=10, calls=1000, batches=5, starts=7)
QUICK = Effort(rounds=3, samples=4, calls=400, batches=2, starts=3)
FULL_PASSES, QUICK_PASSES = 60, 10
ABOUT = """# Benchmarks

Written by `make bench ARGS=--write`. A figure is the median over rounds in which the peers take turns, with the lowest
and the highest round beside it. Only ratios can be compared between machines, and between runs on one.

"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: seconds, and wider spreads")
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    parser.add_argument("--only", choices=PARTS, help="one part")
    asked = parser.parse_args()
    parts = [asked.only] if asked.only else list(PARTS)
    began = time.monotonic()
    page: list[str] = []
    try:
        for text in _measured(parts, asked.quick):
            print(text, flush=True)
            page.append(text)
    except AnswersDifferError as error:
        print(f"The answers differ: {error}", file=sys.stderr)
        return 1
    except (ImportError, LoadError) as error:
        print(f"Could not be measured: {error}", file=sys.stderr)
        return 2
    print(f"\nmeasured in {time.monotonic() - began:.0f} s")
    if asked.write:
        PAGE.parent.mkdir(exist_ok=True)
        _, mark, audit = PAGE.read_text().partition("## Audit\n") if PAGE.exists() else ("", "", "")
        PAGE.write_text(ABOUT + "\n".join(page) + "\n" + (f"\n{mark}{audit}" if mark else ""))
    return 0


def _measured(parts: list[str], quick: bool) -> Iterator[str]:
    """The paragraphs of the report, as they become known."""
    effort = QUICK if quick else FULL
    knowledge = load_knowledge()
    cases = read_cases()
    two_cores = pin_load()
    yield f"{machine()}\n"
    rows: list[Row] = []
    facts = list(fact_cases(knowledge, cases))
    passes = QUICK_PASSES if quick else FULL_PASSES
    if "rules" in parts:
        compared = against_cel.compare(facts, passes)
        rows += compared.rows
        answers = ", ".join(f"{compared.answers[truth]:,} {truth.name.lower()}" for truth in Truth)
        yield (
            f"Rules from ready facts: {len(cases)} cases are {len(facts)} lists of facts. {compared.unsaid} of them "
            "are left out for both engines: in CEL a fact cannot be partly known, and there that decides an answer. "
            f"In the other {compared.cases} both engines give the same answer to every rule and clause: {answers}.\n"
        )
        yield table(("product line", "live rules", "clauses", "cases compared"), compared.lines) + "\n"
    if "many" in parts:
        growth = many_rules.measure(knowledge, facts, passes, effort.rounds)
        rows += growth.rows
        few, many = many_rules.FEW, many_rules.MANY
        yield (
            f"Made rules: sets of {few} and {many}, modelled on the {growth.models} rules that some label is silent "
            "on, no two thresholds of a line equal; all cases, from ready facts. In columns every row has the same "
            "masks as from the function.\n"
        )
        head = ("product line", f"live of {few}", "clauses", f"live of {many}", "clauses")
        yield table(head, growth.lines) + "\n"
    if "server" in parts:
        measured = served.measure(knowledge, cases, effort)
        rows += measured.rows
        rows += inside.stages(knowledge, cases, effort.rounds)
        where = "server on core 0, load on core 1" if two_cores else "server and load on the same core"
        yield "\n".join(
            [f"Server ({where}; the echo is the same stack, and returns the request):", *measured.notes, ""]
        )
    if "around" in parts:
        rows += crosscutting.measure(knowledge, effort.rounds, effort.calls)
    if "workers" in parts:
        rows += workers.measure(effort.rounds)
    if "doors" in parts:
        rows += doors.measure(effort.rounds, effort.calls)
    if "gateway" in parts:
        hooks = gateway.measure(effort.rounds, effort.calls)
        rows += hooks.rows
        yield "\n".join([*hooks.notes, ""])
    if "record" in parts:
        rows += recorded.measure(knowledge, cases, effort.rounds, effort.calls)
    if "start" in parts:
        rows.append(served.starts(effort.starts))
    yield table(HEAD, [row.cells() for row in rows])


def machine() -> str:
    """When and where it was measured, and with what."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{each} {version(each)}" for each in ("grpcio", "protobuf", "numpy", against_cel.PEER))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {model}, "
        f"{platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {packages}."
    )


if __name__ == "__main__":
    sys.exit(main())
