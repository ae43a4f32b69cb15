"""The report as people and browsers meet it: one file, nothing loaded, charts drawn, a table behind each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from collections import Counter
from datetime import date
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safety_service.audit.check import DAYS
from safety_service.audit.disclosure import PROFILES, Counts, Profile, alone
from safety_service.audit.measures import ANSWERS, COUNTS
from safety_service.audit.report_page import MOST_PRACTICES, Audited, _is_number, _left_out_tables, report_page
from safety_service.domain import to_date, to_day
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import run, table, write_rows
from tests.audit.test_disclosure import solved

MANIFEST: dict[str, Any] = {
    "service_version": "v0.1", "kernel_digest": "k", "knowledge_version": "1", "knowledge_digest": "d",
    "policy_id": "p", "policy_digest": "q",
    "inputs": [{"name": "<rx>.csv", "form": "csv", "table": "medications", "kept": {}, "unused_columns": ["cost"],
                "digest": "e"}],
    "complete": {"medications": "complete", "labs": "unknown"},
    "conservation": {"physical": 1000, "header": 1, "blank": 0, "rejected": 40, "duplicate": 20, "not_relevant": 39,
                     "audited": 900, "balances": True},
    "rejected": {"bad-date": 37, "unknown-drug": 3},
}  # fmt: skip
RULES = ("", "duration.course", "sedation.opioid", "pathway.first-line")


def made(practices: int = 24) -> Audited:
    rng = Random(4)
    rows = []
    for month in (to_day(date(2024, m, 1)) for m in range(1, 13)):
        for rule in RULES:
            whole = dict.fromkeys(("fired", "passed", "not_evaluable"), 0)
            for unit in range(practices):
                for answer in whole:
                    number = rng.randrange(6, 40)
                    whole[answer] += number
                    rows.append((rule, "order", "practice", f"Practice {unit}", month, answer, number))
                    rows.append((rule, "order", "prescriber", f"Dr {unit}", month, answer, number))
                    drug = ("cyclobenzaprine", "tizanidine", "rare drug")[0 if unit < 14 else 1 if unit < 23 else 2]
                    rows.append((rule, "order", "drug", drug, month, answer, number))
            rows += [(rule, "order", "all", "", month, answer, number) for answer, number in whole.items()]
    days = [(what, "order", "x", d, rng.randrange(3, 90)) for what in ("course_days", "episode_days")
            for d in (-1, 5, 7, 14, 20, 21, 22, 28, 30, 60, 90, 120)]  # fmt: skip
    every = sum(number for rule, _, level, *_, number in rows if (rule, level) == ("", "all"))
    for what in ("course_days", "episode_days"):  # each record has days
        days.append((what, "order", "x", 10, every - sum(each[-1] for each in days if each[0] == what)))
    return Audited(as_table(rows, COUNTS), as_table(days, DAYS), MANIFEST)


def as_table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    return pa.table([list(each) for each in zip(*rows, strict=True)], schema=schema)


@pytest.fixture(scope="module")
def page(knowledge: Knowledge) -> str:
    return report_page(made(), knowledge, PROFILES["opensafely"])


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "rect", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle", "polyline"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    seen = Seen()
    seen.feed(page)
    assert seen.open == []
    tags = [tag for tag, _ in seen.tags]
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not [
        name for _, attrs in seen.tags for name in attrs if name in ("src", "href", "style") or name[:2] == "on"
    ]
    assert "default-src 'none'" in page
    assert "&lt;rx&gt;.csv" in page
    assert "<rx>" not in page


def test_each_chart_has_words_and_a_table(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    charts = [each for each in figures if "<svg" in each]
    assert len(charts) >= 8
    for each in charts:
        assert re.search(r'<svg [^>]*role="img" aria-label="[^"]{20,}"', each)
        assert "<details><summary>" in each
        assert each.count('scope="row"') >= 3


def test_the_limit_stands_between_21_days_and_22(page: str, knowledge: Knowledge) -> None:
    limit = knowledge.policy_numbers["policy.duration.guideline_days"]
    assert f">{limit} days</text>" in page
    assert ">15–21</th>" in page
    assert ">22–28</th>" in page


def of_days(what: str, days: dict[int, int]) -> Audited:
    """Orders by their days; -1 is not known."""
    month, number = to_day(date(2024, 1, 1)), sum(days.values())
    counts = as_table([("", "order", "all", "", month, "passed", number)], COUNTS)
    told = [(what, "order", "x", *each) for each in days.items()]
    told += [(other, "order", "x", -1, number) for other in ("course_days", "episode_days") if other != what]
    return Audited(counts, as_table(told, DAYS), MANIFEST)


def beyond(profile: str, knowledge: Knowledge, days: dict[int, int], what: str = "course_days") -> set[str]:
    """What the page says of days beyond the limit."""
    text = report_page(of_days(what, days), knowledge, PROFILES[profile])
    return set(re.findall(r"<strong>[^<]*</strong> of [^<]* longer than 21 days: [^<]*", text))


def test_days_that_are_hidden_one_by_one_count_in_what_is_beyond_the_limit(knowledge: Knowledge) -> None:
    days = {7: 40, 25: 7, 40: 7, 50: 7, 80: 10, 120: 7}  # 38 of 78
    assert beyond("opensafely", knowledge, days) == {
        "<strong>50 %</strong> of courses of orders are longer than 21 days: 40 of 80 whose days are known. "
        "Those for spasticity, which this limit does not bind, are included."
    }
    assert beyond("cms", knowledge, days) == set()


def test_records_are_counted_by_their_episode_up_to_then_and_not_episodes(knowledge: Knowledge) -> None:
    (said,) = beyond("cms", knowledge, {7: 60, 25: 20}, "episode_days")
    assert said.startswith(
        "<strong>25 %</strong> of orders stand in an episode that is then longer than 21 days: 20 of 80 whose"
    )


def test_what_is_beyond_the_limit_is_not_said_where_it_settles_a_hidden_number(knowledge: Knowledge) -> None:
    """Four of 10 are 32 or more, their sum of 30 is 32 or less: the fifth would be 0."""
    days = {7: 40, 25: 8, 40: 8, 50: 8, 80: 8}
    assert beyond("opensafely", knowledge, days) == set()
    assert beyond("opensafely", knowledge, {**days, 25: 12}) != set()


def test_prescribers_stand_in_it_only_when_asked_for(page: str, knowledge: Knowledge) -> None:
    assert "Dr 3" not in page
    assert "Dr 3" in report_page(made(), knowledge, PROFILES["opensafely"], prescribers=True)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_small_number_stands_in_a_table(profile: str, knowledge: Knowledge) -> None:
    text = report_page(made(), knowledge, PROFILES[profile], prescribers=True)
    numbers = [int(each.replace(",", "")) for each in re.findall(r"<td class=number>([\d,]+)</td>", text)]
    assert len(numbers) > 100
    assert not [each for each in numbers if PROFILES[profile].small(each)]
    drawn = [int(each.replace(",", "")) for each in re.findall(r'text-anchor="(?:start|middle)">([\d,]+)</text>', text)]
    assert not [each for each in drawn if PROFILES[profile].small(each)]


def tables_of(text: str) -> dict[str, list[list[str]]]:
    """The cells of each table of the page by its caption, the later ones of a name with a number."""
    found: dict[str, list[list[str]]] = {}
    for caption, body in re.findall(r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", text, re.DOTALL):
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("</tr>") if row]
        name = next(each for each in (caption, *(f"{caption} {i}" for i in range(2, 99))) if each not in found)
        found[name] = rows
    return found


def small_audit(rng: Random) -> Audited:
    """Few records by practice, prescriber, drug and month."""
    months = [to_day(date(2024, m, 1)) for m in (1, 2, 3)]
    rows, days = Counter[Any](), Counter[Any]()
    often = rng.random()
    for _ in range(rng.choice((40, 120, 400))):
        practice, month = rng.choice("AABCD"), rng.choice([*months, months[0]])
        prescriber, drug = f"Dr {practice}{rng.choice('112')}", rng.choice(("tizanidine", "tizanidine", "baclofen"))
        for rule in ("", "duration.course", "pathway.first-line"):
            answer = rng.choices(ANSWERS, (often, 0.4, 0.2))[0]
            for level, unit in (("all", ""), ("practice", practice), ("prescriber", prescriber), ("drug", drug)):
                rows[rule, "order", level, unit, month, answer] += 1
        for what in ("course_days", "episode_days"):
            days[what, "order", drug, rng.choice((-1, 7, 14, 21, 21, 28, 60))] += 1
    counts = as_table([(*key, number) for key, number in rows.items()], COUNTS)
    return Audited(counts, as_table([(*key, number) for key, number in days.items()], DAYS), MANIFEST)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("prescribers", [False, True])
def test_nothing_small_follows_from_all_tables_of_a_page_together(
    profile: str, prescribers: bool, knowledge: Knowledge, seed: int
) -> None:
    """All of one page: what is written, and for exact numbers what the sums over rows and practices settle."""
    hidden = 0
    for number in range(40):
        audited = small_audit(Random(f"{seed} {number}"))
        text = report_page(audited, knowledge, PROFILES[profile], prescribers=prescribers)
        numbers = [each for each in re.findall(r"<td class=number>([^<]+)</td>", text) if "%" not in each]
        numbers += re.findall(r'text-anchor="(?:start|middle)">([^<%]+)</text>', text)
        written = [int(each.replace(",", "")) for each in numbers if re.fullmatch(r"[\d,]+", each)]
        written += [int(each.replace(",", "")) for each in re.findall(r": ([\d,]+) of [\d,]+ whose", text)]
        assert not [each for each in written if PROFILES[profile].small(each)], number
        hidden += sum(not re.fullmatch(r"[\d,]+", each) for each in numbers)
        if PROFILES[profile].rounding == 1:
            small = settled(audited, text, PROFILES[profile])
            assert not small, (number, small)
    assert hidden > 100


LEVELS = {"By month": "all", "By drug": "drug", "By practice": "practice", "By prescriber": "prescriber"}
Equation = tuple[dict[str, int], int]


def settled(audited: Audited, text: str, profile: Profile) -> dict[str, int]:
    """The small numbers of records with any alert that follow from the page; a prescriber's practice is known."""
    tables = {caption: rows for caption, rows in tables_of(text).items() if caption in LEVELS}
    truth: dict[str, int] = Counter()
    for caption in tables:
        columns = (audited.counts.column(name).to_pylist() for name in COUNTS.names)
        for rule, _, level, unit, month, answer, number in zip(*columns, strict=True):
            if not rule and level == LEVELS[caption]:
                truth[f"{caption}/{unit or to_date(month).strftime('%Y-%m')}/{answer}"] += number

    def added(of: str, *answers: str) -> dict[str, int]:
        return {name: 1 for name in truth if name.startswith(of) and name.rpartition("/")[2] in answers}

    equations: list[Equation] = []

    def told(of: str, fired: str, records: str, left: str) -> None:
        for answers, said in ((ANSWERS[:1], fired), (ANSWERS, records), (("not_evaluable",), left)):
            if said != "hidden":
                equations.append((added(of, *answers), int(said.replace(",", ""))))

    for caption, rows in tables.items():
        for name, fired, records, _, left in rows:
            told(f"{caption}/{name}/", fired, records, left)
    total = re.search(r"or above: ([\w,]+) of ([\w,]+)\. ([\w,]+) had none", text)
    assert total is not None
    for caption in tables:
        told(f"{caption}/", *total.groups())
        for answer in ANSWERS:
            opposite = dict.fromkeys(added(f"{caption}/", answer), -1)
            equations.append(({**added("By month/", answer), **opposite}, 0) if caption != "By month" else ({}, 0))
            for practice in "ABCD" if {"By practice", "By prescriber"} <= tables.keys() else "":
                of_prescribers = dict.fromkeys(added(f"By prescriber/Dr {practice}", answer), -1)
                equations.append(({**added(f"By practice/{practice}/", answer), **of_prescribers}, 0))
    found = solved(equations, sorted(truth))
    assert all(value == truth[name] for name, value in found.items())
    return {name: truth[name] for name in found if profile.small(truth[name])}


def test_few_practices_are_not_compared(knowledge: Knowledge) -> None:
    text = report_page(made(practices=9), knowledge, PROFILES["opensafely"])
    assert "Not drawn: no month has 10 practices" in text
    assert "line-decile" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def of_practices(practices: dict[str, tuple[int, int, int]]) -> Audited:
    """One month of practices: fired, passed, not evaluable."""
    month = to_day(date(2024, 1, 1))
    rows = [("", "order", level, unit if level == "practice" else "", month, answer, number)
            for unit, numbers in practices.items() for answer, number in zip(ANSWERS, numbers, strict=True)
            for level in ("practice", "all")]  # fmt: skip
    every = sum(map(sum, practices.values()))
    days = [(what, "order", "x", 10, every) for what in ("course_days", "episode_days")]
    return Audited(as_table(rows, COUNTS), as_table(days, DAYS), MANIFEST)


PERCENTILES = "Percentiles, to the nearest per cent"
NINE = {f"P{i}": (30 + 4 * i, 70 - 4 * i, 0) for i in range(9)}


def test_no_percentile_tells_a_hidden_number_of_a_practice(knowledge: Knowledge) -> None:
    """Of eleven practices the 10th percentile is the rate of the second: it is the same for all it could hide."""
    said = []
    for fired in range(8):
        few = {"Big": (8, 392, 20), "Hidden": (fired, 40 - fired, 0)}
        text = report_page(of_practices(few | NINE), knowledge, PROFILES["opensafely"])
        said.append(tables_of(text)[PERCENTILES])
    assert said[0][0][:3] == ["2024-01", "11", "9 %"]  # 3.5 of 40
    assert said == [said[0]] * 8


@pytest.mark.parametrize("profile", ["cms", "omop"])
def test_a_practice_of_which_a_number_is_hidden_is_left_out_of_exact_percentiles(
    profile: str, knowledge: Knowledge
) -> None:
    some = {**NINE, "Big": (20, 380, 20), "Other": (20, 30, 0), "Hidden": (2, 38, 0)}
    text = report_page(of_practices(some), knowledge, PROFILES[profile])
    ((_, practices, lowest, *_),) = tables_of(text)[PERCENTILES]
    assert (practices, lowest) == ("11", "30 %")
    assert "Practices of which a number is hidden in a month are left out of it" in text


def test_a_practice_that_is_called_like_a_row_of_the_table_keeps_its_own(knowledge: Knowledge) -> None:
    names = ("", "not named", "[not named]", "all others")
    some = {name: (20 + i, 30, 0) for i, name in enumerate(names)}
    rows = tables_of(report_page(of_practices(some), knowledge, PROFILES["cms"]))["By practice"]
    told = {name: fired for name, fired, *_ in rows}
    assert told == {"[[not named]]": "20", "not named": "21", "[not named]": "22", "all others": "23"}
    many = {f"P{i}": (40, 60, 0) for i in range(MOST_PRACTICES)} | {"all others": (39, 20, 0), "last": (11, 12, 0)}
    rows = tables_of(report_page(of_practices(many), knowledge, PROFILES["cms"]))["By practice"]
    assert [row[:3] for row in rows][-1] == ["[all others]", "50", "82"]


def test_what_is_not_drawn_says_which_records_were_too_few(knowledge: Knowledge) -> None:
    text = report_page(made(practices=9), knowledge, PROFILES["opensafely"])
    assert "any alert of MODERATE or above" in text
    assert "10 practices with 11 or more records. " in text
    assert "10 practices with 11 or more records on which the rule could be decided. " in text


def test_a_digest_is_no_number(knowledge: Knowledge) -> None:
    digest = "3" + "a" * 63
    manifest = {**MANIFEST, "kernel_digest": digest, "inputs": [{**MANIFEST["inputs"][0], "digest": digest}]}
    text = report_page(Audited(made().counts, made().days, manifest), knowledge, PROFILES["opensafely"])
    assert text.count(f"<td>{digest}</td>") == 2
    for each in ("–", "0–7", "1,250", "12 %"):
        assert _is_number(each)


def test_a_table_that_settles_a_hidden_number_with_its_total_is_left_out(knowledge: Knowledge) -> None:
    """Four of at most 7 whose total is 28 or more are 7 each."""
    sevens = {f"P{i}": (7, 40, 0) for i in range(4)}
    text = report_page(of_practices(sevens), knowledge, PROFILES["opensafely"])
    assert "By practice" not in tables_of(text)
    assert "Practices</figcaption><p>Not listed: with the totals of this page" in text
    assert "By month" in tables_of(text)
    for others in ({"P0": (6, 40, 0)}, {"P4": (7, 40, 0)}):  # a total of 27 and 35
        text = report_page(of_practices(sevens | others), knowledge, PROFILES["opensafely"])
        assert "By practice" in tables_of(text)


BOUNDS = st.sampled_from((0, 7, 7, 7, 8))  # what is at the bounds of what is shown settles most


@example([7, 7, 7, 7], [28])
@example([8, 8, 8, 8, 0], [32])
@given(
    st.lists(st.one_of(BOUNDS, st.integers(0, 12)), min_size=2, max_size=4),
    st.lists(st.integers(0, 12), min_size=1, max_size=2),
)
def test_no_table_that_is_listed_has_a_hidden_number_of_one_value(practices: list[int], drugs: list[int]) -> None:
    """Against all numbers that round to what is shown, practices and drugs having the same total."""
    profile = PROFILES["opensafely"]
    drugs = [*drugs, max(0, sum(practices) - sum(drugs))]
    practices = [*practices[:-1], practices[-1] + max(0, sum(drugs) - sum(practices))]
    tables = {
        name: {i: Counts(fired, 400 if i else 2400 - 400 * len(several)) for i, fired in enumerate(several)}
        for name, several in (("practice", practices), ("drug", drugs))
    }
    total = sum(tables["practice"].values(), Counts())
    left_out = _left_out_tables(tables, {}, total, profile)
    assert left_out == set() or min(*practices, *drugs) <= profile.most

    def rounded(number: int) -> int | None:
        return alone(Counts(number), profile).fired

    could = {}
    for name, several in (("practice", practices), ("drug", drugs)):
        each = [[n for n in range(60) if rounded(n) == rounded(fired)] for fired in several]
        could[name] = [found for found in product(*each) if rounded(sum(found)) == rounded(sum(practices))]
    sums = {sum(each) for each in could["practice"]} & {sum(each) for each in could["drug"]}
    for name, several in (("practice", practices), ("drug", drugs)):
        fitting = [each for each in could[name] if sum(each) in sums]
        for i, fired in enumerate(several):
            if rounded(fired) is None and len({each[i] for each in fitting}) == 1:
                assert name in left_out


def test_an_audit_writes_it_whole_and_says_by_which_profile(tmp_path: Path) -> None:
    source = write_rows(
        tmp_path / "rx.csv",
        ("patient", "record", "dispensed_on", "drug", "days_supply", "practice"),
        *[(f"p{i}", f"{i}", "2024-01-05", "cyclobenzaprine 5 mg tablet", 28, "north") for i in range(12)],
    )
    one = run(tmp_path / "one", source, disclosure="cms")
    two = run(tmp_path / "two", source, disclosure="cms")
    assert one["outputs"]["report.html"] == two["outputs"]["report.html"]
    assert one["report"] == {"disclosure": "cms", "prescribers": False}
    text = (tmp_path / "one" / "report.html").read_text()
    assert "<strong>100 %</strong> of dispensings of a muscle relaxant" in text
    assert len([row for row in table(tmp_path / "one", "alerts") if row["rule_id"] == "duration.course"]) == 12


def browse(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    path = folder / "report.html"
    path.write_text(page)
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-dev-shm-usage", "--no-first-run", "--enable-logging=stderr", "--no-pdf-header-footer",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={folder / 'net.json'}", f"--print-to-pdf={folder / 'report.pdf'}", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)


def test_a_request_or_an_error_would_be_seen(tmp_path: Path) -> None:
    text = "<!DOCTYPE html><img src=http://pictures.example/a.png><script>console.error('wrong')</script>"
    done = browse(text, tmp_path)
    assert "CONSOLE" in done.stderr
    assert requests_of_the_page(tmp_path / "net.json") == ["http://pictures.example/a.png"]


def test_a_browser_draws_it_without_an_error_or_a_request(page: str, tmp_path: Path) -> None:
    done = browse(page, tmp_path)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert requests_of_the_page(tmp_path / "net.json") == []
    pdf = (tmp_path / "report.pdf").read_bytes()
    drawn = b"".join(_inflated(each) for each in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL))
    colour = rb"\.1216 \.3059 \.4745 "
    assert len(re.findall(colour + b"rg", drawn)) > 5  # bars
    assert len(re.findall(colour + b"RG", drawn)) > 5  # lines
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 3


def requests_of_the_page(log: Path) -> list[str]:
    """What was asked for by a page; what the browser asks for by itself has no initiator."""
    events = json.loads(log.read_text())["events"]
    asked = [each["params"] for each in events if "url" in each.get("params", {})]
    return [each["url"] for each in asked if each.get("initiator") not in (None, "not an origin")]


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream.strip(b"\r\n"))
    except zlib.error:
        return b""


def test_a_profile_that_is_none_is_refused(tmp_path: Path) -> None:
    from safety_service.audit_command import CannotAuditError, run_audit

    with pytest.raises(CannotAuditError, match=r"--disclosure: 'none' is none of opensafely, cms, omop") as refused:
        run_audit(
            inputs=["x"], out=tmp_path, map_file=None, memory="2GB", workers=1, engine="local", master="",
            statuses=False, partial=[], disclosure="none", prescribers=False, knowledge_dir=None, policy_file=None,
        )  # fmt: skip
    assert refused.value.exit_code == 2
