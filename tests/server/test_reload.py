"""Knowledge replaced while calls run. A policy and a rule file change together, so that half of each would show."""

import io
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from medsafety import MedsafetyClient
from safety_service.decisions.archive import archived_knowledge
from safety_service.demo import article_case
from safety_service.knowledge.load import RULES_DATA
from safety_service.server.access_log import Log, open_log
from safety_service.server.in_use import Files
from safety_service.server.reload import Watch, read_files, reload
from safety_service.server.serve import start
from safety_service.server.settings import Settings

POLICY = 'extends: default\nid: our-site\ntitle: Ours\nversion: "{version}"\n'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = shutil.copytree(RULES_DATA, tmp_path / "rules", ignore=shutil.ignore_patterns("cases", "examples", "*.py"))
    (tmp_path / "site.yaml").write_text(POLICY.format(version="1"))
    return Files(Path(root), tmp_path / "site.yaml", None, None)


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(written: io.StringIO) -> Log:
    return open_log("info", "json", written)


def told(log: Log, written: io.StringIO, event: str) -> list[dict[str, Any]]:
    log._logger.close()  # type: ignore[attr-defined]  # lines are written a moment later
    return [each for line in written.getvalue().splitlines() if (each := json.loads(line))["event"] == event]


def test_a_change_is_in_the_next_answer_and_a_bad_one_is_not(files: Files, log: Log, written: io.StringIO) -> None:
    assert files.policy is not None
    server = start(Settings(listen="127.0.0.1:0"), read_files(files), log)
    in_use = server.gate.in_use
    rules = files.knowledge / "rules" / "hepatic.yaml"
    whole = rules.read_text()
    with MedsafetyClient(server.address, timeout=30) as client:
        first = client.check(article_case()).decision

        rules.write_text(whole[: len(whole) // 2])  # as a copy is, that has not ended
        files.policy.write_text(POLICY.format(version="2"))
        assert not reload(in_use, files, log)
        after = client.check(article_case()).decision
        assert (after.knowledge.digest, after.policy.digest) == (first.knowledge.digest, first.policy.digest)

        rules.write_text(whole + "# changed\n")
        assert reload(in_use, files, log)
        second = client.check(article_case()).decision
        assert second.knowledge.digest != first.knowledge.digest
        assert second.policy.version == "2"
        assert second.knowledge.digest == client.get_knowledge().knowledge.digest
    server.server.stop(None).wait()

    refused = told(log, written, "reload_refused")
    assert refused
    assert all(each["file"] == "rules/hepatic.yaml" and each["line"] and each["reason"] for each in refused)
    reloaded = told(log, written, "reloaded")[0]
    assert (reloaded["knowledge_before"], reloaded["knowledge"]) == (
        first.knowledge.digest[:12],
        second.knowledge.digest[:12],
    )
    calls = [each["knowledge"] for each in told(log, written, "call") if each["method"] == "CheckPrescription"]
    assert calls == [first.knowledge.digest[:12]] * 2 + [second.knowledge.digest[:12]]


def test_a_file_that_is_gone_is_told_of(files: Files, log: Log, written: io.StringIO) -> None:
    assert files.policy is not None
    server = start(Settings(listen="127.0.0.1:0"), read_files(files), log)
    files.policy.unlink()

    assert not reload(server.gate.in_use, files, log)

    server.server.stop(None).wait()
    refused = told(log, written, "reload_refused")[0]
    assert (refused["file"], refused["reason"]) == ("site.yaml", "No such file or directory")


def test_knowledge_that_was_cut_off_at_the_end_of_a_rule_is_warned_of(
    files: Files, log: Log, written: io.StringIO
) -> None:
    server = start(Settings(listen="127.0.0.1:0"), read_files(files), log)
    rules = files.knowledge / "rules" / "pathway.yaml"
    whole = rules.read_text()
    rules.write_text(whole[: whole.rindex("\n  - id: ") + 1])

    assert reload(server.gate.in_use, files, log)

    server.server.stop(None).wait()
    lost = told(log, written, "knowledge_lost")[0]
    assert lost["count"] == 1
    assert lost["rules_and_lines"][0].startswith("pathway.")


def test_decisions_can_be_replayed_whatever_becomes_of_the_files(files: Files, log: Log, tmp_path: Path) -> None:
    """What was taken up is archived as it was read."""
    assert files.policy is not None
    settings = Settings(
        listen="127.0.0.1:0",
        decisions_dir=tmp_path / "decisions",
        knowledge_dir=files.knowledge,
        policy_file=files.policy,
    )
    server = start(settings, read_files(files), log)
    files.policy.write_text(POLICY.format(version="2"))
    (files.knowledge / "severity.yaml").write_text((files.knowledge / "severity.yaml").read_text() + "# changed\n")
    assert reload(server.gate.in_use, files, log)
    files.policy.write_text("extends: [")
    (files.knowledge / "severity.yaml").write_text("")
    with MedsafetyClient(server.address, timeout=30) as client:
        decision = client.check(article_case()).decision
    server.drain()

    archived = archived_knowledge(tmp_path / "decisions", decision.knowledge.digest, decision.policy.digest)
    assert archived.policy.version == "2"


def test_no_call_sees_half_of_two(files: Files, log: Log) -> None:
    """Rule file and policy change together, many times, under calls: an answer has both of one or both of the other."""
    assert files.policy is not None
    server = start(Settings(listen="127.0.0.1:0"), read_files(files), log)
    in_use = server.gate.in_use
    rules = files.knowledge / "rules" / "hepatic.yaml"
    rules.write_text(rules.read_text() + "# changed\n")
    files.policy.write_text(POLICY.format(version="2"))
    both = [in_use.now, in_use.made_ready(read_files(files), files)]
    pairs = {(each.knowledge.digest, each.knowledge.policy_digest) for each in both}
    seen: set[tuple[str, str]] = set()
    listed: set[tuple[str, str]] = set()
    stop = threading.Event()

    def ask() -> None:
        with MedsafetyClient(server.address, timeout=30) as client:
            while not stop.is_set():
                decision = client.check(article_case()).decision
                seen.add((decision.knowledge.digest, decision.policy.digest))
                shown = client.get_knowledge()
                listed.add((shown.knowledge.digest, shown.policies[0].digest))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    for i in range(400):
        in_use.now = both[i % 2]
        stop.wait(0.002)
    stop.set()
    for each in threads:
        each.join(30)
    server.server.stop(None).wait()

    assert len(pairs) == 2
    assert seen == pairs
    assert listed <= pairs


def test_a_watch_waits_until_files_stand_still(files: Files) -> None:
    assert files.policy is not None
    watch = Watch(files, 0.001)

    def look() -> bool:
        watch.due = 0
        return watch.changed()

    assert [look(), look()] == [False, False]
    files.policy.write_text(POLICY.format(version="22"))
    assert [look(), look(), look()] == [False, True, False]
    files.policy.write_text(POLICY.format(version="333"))
    assert not look()
    files.policy.write_text(POLICY.format(version="4444"))
    assert [look(), look(), look()] == [False, True, False]
    replaced = files.policy.with_name("new")
    replaced.write_text(POLICY.format(version="5555"))
    replaced.replace(files.policy)
    (files.knowledge / "rules" / "hepatic.yaml").unlink()
    assert [look(), look(), look()] == [False, True, False]
    assert not Watch(files, 0).changed()
