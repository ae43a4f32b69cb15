"""The command: what it prints where, and what it ends with. What is decided is tested elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status
from typer.testing import CliRunner, Result

from medsafety import CheckPrescriptionRequest, CheckPrescriptionResponse
from medsafety.v1.medication_safety_service_pb2 import (
    CheckResult,
    StreamCheckPrescriptionsRequest,
    StreamCheckPrescriptionsResponse,
)
from safety_service import __version__
from safety_service.access.callers_file import read_callers
from safety_service.cli import app
from safety_service.demo import ARTICLE_CASE
from safety_service.knowledge.load import RULES_DATA
from tests.client.fake_server import Fake, abort_with, invalid, serve
from tests.report.hand_made import answer

REQUEST = '{"requestId": "r-1", "patient": {"id": "patient-1"}}'
BAD = '{"requestId": "bad", "prescription": {"medication": {"text": "Soma"}, "refills": -1, "daysSupply": 0}}'
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(*arguments: str, text: str = "", **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, input=text, env={"COLUMNS": "100", **environment})


def refuse(asked: CheckPrescriptionRequest) -> Status | None:
    if asked.request_id == "broken":
        return Status(code=grpc.StatusCode.INTERNAL.value[0], message="internal error 1f")
    return invalid(("prescription.refills", "0 or more"), ("a", "b")) if asked.request_id == "bad" else None


def check(asked: CheckPrescriptionRequest, context: grpc.ServicerContext) -> CheckPrescriptionResponse:
    refused = refuse(asked)
    if refused is not None:
        abort_with(refused, context)
    return answer()


def stream(
    asked: Iterator[StreamCheckPrescriptionsRequest], context: grpc.ServicerContext
) -> Iterator[StreamCheckPrescriptionsResponse]:
    for each in asked:
        result = CheckResult(request_id=each.item.request_id)
        if result.request_id == "bad":
            result.error.CopyFrom(invalid(("item.prescription.refills", "0 or more"), ("item.a", "b")))
        elif (refused := refuse(each.item)) is not None:
            result.error.CopyFrom(refused)
        else:
            result.response.CopyFrom(answer())
        yield StreamCheckPrescriptionsResponse(result=result)


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake(answers={"CheckPrescription": check, "StreamCheckPrescriptions": stream})
    server = serve(fake)
    yield fake
    server.stop(grace=None).wait()


# --- check, asking a server ---------------------------------------------------------------------------------


def test_the_answer_of_a_server_is_printed(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, text=REQUEST)
    assert result.exit_code == 0
    assert result.stdout.startswith("ALERTS  1 high · 1 low")
    assert "hepatic.start-dose v2" in result.stdout
    assert "Facts" not in result.stdout
    assert result.stderr == ""
    assert fake.asked == [ParseDict(json.loads(REQUEST), CheckPrescriptionRequest())]


def test_explain_adds_the_facts(fake: Fake) -> None:
    assert "Facts" in run("check", "-", "--server", fake.target, "--explain", text=REQUEST).stdout


def test_json_is_the_answer_in_the_protobuf_mapping(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, "--json", text=REQUEST)
    assert result.exit_code == 0
    assert ParseDict(json.loads(result.stdout), CheckPrescriptionResponse()) == answer()


def test_fhir_is_a_bundle(fake: Fake) -> None:
    made = json.loads(run("check", "-", "--server", fake.target, "--fhir", text=REQUEST).stdout)
    assert made["resourceType"] == "Bundle"
    assert made["entry"][0]["resource"]["patient"] == {"identifier": {"value": "patient-1"}}


@pytest.mark.parametrize("form", [(), ("--json",), ("--fhir",)])
def test_a_refused_request_prints_every_violation_and_ends_with_1(fake: Fake, form: tuple[str, ...]) -> None:
    result = run("check", "-", "--server", fake.target, *form, text='{"requestId": "bad"}')
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["prescription.refills: 0 or more", "a: b"]
    assert bool(result.stdout) == (form == ("--fhir",))  # an OperationOutcome


def test_several_are_streamed_and_each_has_its_heading(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, text=f'{REQUEST}\n{{"requestId": "bad"}}\n{REQUEST}')
    assert fake.calls == ["StreamCheckPrescriptions"]
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "request 2 of 3: prescription.refills: 0 or more",
        "request 2 of 3: a: b",
    ]
    headings = [line for line in result.stdout.splitlines() if line.startswith("===")]
    assert headings == ["=== request 1 of 3 r-1", "=== request 3 of 3 r-1"]


def test_the_worst_of_several_decides_the_exit_code(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, text='{"requestId": "broken"}\n{"requestId": "bad"}')
    assert result.exit_code == 4
    assert "request 1 of 2: INTERNAL: internal error 1f" in result.stderr


def test_several_in_json_are_one_result_a_line_in_their_order(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, "--json", text=f'{REQUEST}\n{{"requestId": "bad"}}')
    good, bad = (ParseDict(json.loads(line), CheckResult()) for line in result.stdout.splitlines())
    assert good == CheckResult(request_id="r-1", response=answer())
    assert bad.error == invalid(("item.prescription.refills", "0 or more"), ("item.a", "b"))
    assert bad.request_id == "bad"


def test_several_in_fhir_are_one_resource_a_line(fake: Fake) -> None:
    result = run("check", "-", "--server", fake.target, "--fhir", text=f'{REQUEST}\n{{"requestId": "bad"}}')
    kinds = [json.loads(line)["resourceType"] for line in result.stdout.splitlines()]
    assert kinds == ["Bundle", "OperationOutcome"]


@pytest.mark.parametrize("several", [False, True])
def test_an_unreachable_server_ends_with_3(several: bool) -> None:
    text = f"{REQUEST}\n{REQUEST}" if several else REQUEST
    result = run("check", "-", "--server", "127.0.0.1:1", "--timeout", "20", text=text)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "127.0.0.1:1: UNAVAILABLE" in result.stderr


@pytest.mark.parametrize(
    ("code", "ends_with"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, 3),
        (grpc.StatusCode.INTERNAL, 4),
        (grpc.StatusCode.UNKNOWN, 4),
        (grpc.StatusCode.NOT_FOUND, 1),
        (grpc.StatusCode.FAILED_PRECONDITION, 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(fake: Fake, code: grpc.StatusCode, ends_with: int) -> None:
    fake.answers["CheckPrescription"] = lambda asked, context: context.abort(code, "as told")
    result = run("check", "-", "--server", fake.target, text=REQUEST)
    assert result.exit_code == ends_with
    assert f"{code.name}: as told" in result.stderr


def test_a_certificate_authority_means_tls(fake: Fake, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("no certificate")
    result = run("check", "-", "--server", fake.target, "--ca", str(authority), "--timeout", "20", text=REQUEST)
    assert result.exit_code == 3  # the fake speaks no TLS
    assert fake.calls == []


def test_a_token_is_read_from_its_file(fake: Fake, tmp_path: Path) -> None:
    fake.answers["CheckPrescription"] = check
    path = tmp_path / "token"
    path.write_text("ward.secret\n")
    result = run("check", "-", "--server", fake.target, "--token-file", str(path), text=REQUEST)
    assert result.exit_code == 0
    assert fake.shown == ["Bearer ward.secret"]


def test_a_token_goes_to_no_other_machine_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ward.secret")
    result = run("check", "-", "--server", "safety.example.org:1", "--token-file", str(path), text=REQUEST)
    assert result.exit_code == 2
    assert "secret" not in result.output


@pytest.mark.parametrize("one", ["--cert", "--key"])
def test_a_certificate_comes_with_its_key(tmp_path: Path, one: str) -> None:
    path = tmp_path / "file.pem"
    path.write_text("x")
    assert run("check", "-", "--server", "127.0.0.1:1", one, str(path), text=REQUEST).exit_code == 2


def test_a_key_is_made_for_a_caller(tmp_path: Path) -> None:
    result = run("caller-key", "ward-7", "--scopes", "check,feedback")
    assert result.exit_code == 0
    path = tmp_path / "callers.yaml"
    path.write_text(f"callers:\n{result.stderr}")
    known = read_callers(path).by_name["ward-7"]
    assert {each.value for each in known.scopes} == {"check", "feedback"}
    key = result.stdout.strip()
    assert known.hashes[0].fits(key.encode())
    assert key.partition(".")[2] not in result.stderr


def test_a_chosen_secret_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    result = run("caller-key", "desk", "--chosen", text="a-long-secret\n")
    assert result.exit_code == 0
    assert "scrypt:" in result.stderr
    assert "a-long-secret" not in result.stderr
    assert result.stdout.strip() == "desk.a-long-secret"
    assert run("caller-key", "desk", "--chosen", text="short\n").exit_code == 2


@pytest.mark.parametrize("arguments", [("Ward",), ("ward", "--scopes", "everything"), ("ward", "--scopes", "")])
def test_a_caller_that_could_not_be_used_is_refused(arguments: tuple[str, ...]) -> None:
    assert run("caller-key", *arguments).exit_code == 2


# --- check, in this process ---------------------------------------------------------------------------------


def test_without_a_server_the_answer_is_worked_out_here() -> None:
    result = run("check", str(ARTICLE_CASE))
    assert result.exit_code == 0
    assert "hepatic.start-dose v" in result.stdout
    assert ANSI.search(result.stdout) is None


def test_a_bad_request_is_refused_here_as_a_server_would() -> None:
    result = run("check", "-", text=BAD)
    assert result.exit_code == 1
    assert result.stdout == ""
    paths = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert paths == ["prescription.days_supply", "prescription.refills"]


def test_a_request_that_is_not_well_formed_is_refused_before_any_work() -> None:
    result = run("check", "-", text=f'[{REQUEST}, {{"patient": {{"age": 3, "sex": 1.5}}}}]')
    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "items[1].patient.age",
        "items[1].patient.sex",
    ]


def test_a_fault_of_the_engine_ends_with_4_and_tells_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("with the patient's name in it")

    monkeypatch.setattr("safety_service.ask.check", broken)
    result = run("check", str(ARTICLE_CASE))
    assert result.exit_code == 4
    assert "ZeroDivisionError at test_cli.py:" in result.stderr
    assert "name in it" not in result.output


def test_knowledge_that_cannot_be_used_ends_with_4(tmp_path: Path) -> None:
    result = run("check", str(ARTICLE_CASE), MEDSAFETY_KNOWLEDGE_DIR=str(tmp_path))
    assert result.exit_code == 4
    assert "policy.yaml:1: the file is missing" in result.stderr


def test_a_check_without_a_server_reads_the_codes_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "site.csv").write_text("system,code,rxcui,name\nndc,12345-678-90,828348,\n")
    request = '{"prescription": {"medication": {"codings": [{"system": "ndc", "code": "12345-678-90"}]}}}'
    mapped = run("check", "-", text=request, MEDSAFETY_SITE_CODES=str(tmp_path / "site.csv"))
    assert mapped.exit_code == 0
    assert "cyclobenzaprine" in mapped.stdout.lower()
    unmapped = run("check", "-", text=request)
    assert unmapped.exit_code == 0
    assert "NDC '12345-678-90' is not among the site codes" in " ".join(unmapped.stdout.split())


def test_site_codes_that_cannot_be_used_end_with_4(tmp_path: Path) -> None:
    (tmp_path / "site.csv").write_text("system,code,rxcui,name\nndc,1,0,\n")
    result = run("check", str(ARTICLE_CASE), MEDSAFETY_SITE_CODES=str(tmp_path / "site.csv"))
    assert result.exit_code == 4
    assert "site.csv:2: rxcui: RxNorm code '0' is not in the dictionary" in result.stderr


def test_site_codes_can_be_validated_before_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "site.csv"
    path.write_text("system,code,rxcui,name\nndc,1,828348,\nndc,2,,baclofen 10 mg tablet\n")
    good = run("knowledge", "validate", "--site-codes", str(path))
    assert good.exit_code == 0
    assert "2 site codes" in good.stdout
    path.write_text("system,code,rxcui,name\nndc,1,0,\nndc,2,,zzyqx\n")
    bad = run("knowledge", "validate", "--site-codes", str(path))
    assert bad.exit_code == 1
    assert [line.split(": ")[0] for line in bad.stderr.splitlines()] == [
        "site.csv:2",
        "site.csv:3",
        "2 problems; a server would not start",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "no-such-file.json"),
        ("check", "-", "--json", "--fhir"),
        ("check", "-", "--timeout", "0"),
        ("serve", "--threads", "many"),
        ("no-such-command",),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, text=REQUEST).exit_code == 2


# --- colour -------------------------------------------------------------------------------------------------


def test_colour_on_a_terminal_unless_no_color_is_set() -> None:
    coloured = run("check", str(ARTICLE_CASE), FORCE_COLOR="1", TERM="xterm", NO_COLOR="").stdout
    without = run("check", str(ARTICLE_CASE), FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stdout
    colours = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")
    assert colours.search(coloured)
    assert not colours.search(without)
    one, other = (ANSI.sub("", each).splitlines()[:-2] for each in (coloured, without))  # the foot has a new id
    assert one == other


# --- the rest -----------------------------------------------------------------------------------------------


def test_version_and_help() -> None:
    assert run("--version").stdout == f"safety-service {__version__}\n"
    text = " ".join(run("check", "--help").stdout.replace("│", " ").split())
    assert "0 answered" in text
    assert "3 server unreachable" in text


def test_knowledge_show_prints_a_line_and_refuses_an_unknown_name() -> None:
    assert "duration.max_days = 21 d" in run("knowledge", "show", "Flexeril").stdout
    unknown = run("knowledge", "show", "cyclobenzaprin")
    assert unknown.exit_code == 1
    assert "Near it: cyclobenzaprine." in unknown.stderr


def test_knowledge_validate_counts_what_is_in_order() -> None:
    result = run("knowledge", "validate")
    assert result.exit_code == 0
    assert re.search(r"\d+ medication lines, \d+ rules, \d+ non-drug options, \d+ sources", result.stdout)


def test_knowledge_validate_holds_a_policy_to_the_floor(tmp_path: Path) -> None:
    example = RULES_DATA / "examples" / "site-policy.yaml"
    result = run("knowledge", "validate", "--policy", str(example))
    assert result.exit_code == 0
    assert "Policy example-clinic 2026.1 is within the floor: 6 changes." in result.stdout
    (tmp_path / "low.yaml").write_text(example.read_text().replace("pathway.first-line:", "hepatic.contraindicated:"))
    refused = run("knowledge", "validate", "--policy", str(tmp_path / "low.yaml"))
    assert refused.exit_code == 1
    assert re.search(r"^low\.yaml:\d+: hepatic\.contraindicated tells of a contraindication", refused.stderr)


def test_knowledge_show_tells_what_the_site_puts_in_place_of_a_limit() -> None:
    example = str(RULES_DATA / "examples" / "site-policy.yaml")
    told = run("knowledge", "show", "Flexeril", MEDSAFETY_POLICY_FILE=example).stdout
    assert "duration.max_days = 21 d" in told
    assert "Policy   the site puts 14 d in its place" in told
    assert "in its place" not in run("knowledge", "show", "Flexeril").stdout


def test_knowledge_validate_names_file_and_line(tmp_path: Path) -> None:
    copy = tmp_path / "rules_data"
    shutil.copytree(RULES_DATA, copy)
    file = copy / "medications" / "baclofen.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("rxcui:"))
    lines[at] = "rxcui: 12"
    file.write_text("\n".join(lines), encoding="utf-8")
    result = run("knowledge", "validate", "--data", str(copy))
    assert result.exit_code == 1
    assert f"medications/baclofen.yaml:{at + 1}: rxcui" in result.stderr
    assert "1 problems" in result.stderr
