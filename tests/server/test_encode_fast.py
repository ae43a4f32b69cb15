"""The joined answers are the plainly built ones, for the article's case, its variants and made-up decisions."""

import gc
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest, CheckPrescriptionResponse
from safety_service import domain
from safety_service.domain import CheckStatus, Decision, Severity, View
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.server import encode_fast
from safety_service.server.decode import decode
from safety_service.server.encode import encode_response
from safety_service.server.encode_fast import FastEncoder

T = TypeVar("T")
Same = Callable[[Decision, View], None]
VIEWS = (View.FULL, View.BRIEF)


@pytest.fixture(scope="session")
def fast(knowledge: Knowledge) -> FastEncoder:
    return FastEncoder(knowledge)


@pytest.fixture(scope="session")
def same(fast: FastEncoder, knowledge: Knowledge) -> Same:
    """Asserts that both ways of writing give the same answer."""

    def compare(decision: Decision, view: View) -> None:
        arguments: tuple[Any, ...] = (decision, view, "request-1", b"\x07" * 16, 1_700_000_000_123_456_789)
        built = encode_response(knowledge, *arguments)
        for _ in range(2):  # the second one from what was kept of the first
            joined = fast.response(*arguments)
            assert CheckPrescriptionResponse.FromString(joined) == built
            assert len(joined) == built.ByteSize(), "something stands in it twice"

    return compare


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "text",
    ["", "diazepam 5 mg tablet", "tizanidine 4 mg", "oxycodone 5 mg tablet", "cyclobenzaprine", "no such drug"],
)
def test_real_decisions(
    same: Same, knowledge: Knowledge, request_sent: CheckPrescriptionRequest, text: str, view: View
) -> None:
    if text:
        request_sent.prescription.medication.Clear()
        request_sent.prescription.medication.text = text
    same(check(knowledge, decode(request_sent, 0).request, b"key"), view)


def test_real_decisions_by_a_policy(request_sent: CheckPrescriptionRequest) -> None:
    knowledge = load_knowledge(policy_file=RULES_DATA / "examples" / "site-policy.yaml")
    fast = FastEncoder(knowledge)
    first = check(knowledge, decode(request_sent, 0).request, b"key")
    for alert in first.alerts:
        request_sent.prior_overrides.add(fingerprint=alert.fingerprint, reason="Agreed with the prescriber.")
    again = check(knowledge, decode(request_sent, 0).request, b"key")
    assert first.suppressed
    for decision in (first, again, first):  # what is kept of one alert is not told of the other
        for view in VIEWS:
            arguments: tuple[Any, ...] = (decision, view, "request-1", b"\x07" * 16, 1)
            built = encode_response(knowledge, *arguments)
            assert CheckPrescriptionResponse.FromString(fast.response(*arguments)) == built
            assert built.decision.alerts[0].HasField("overridden_before") == (decision is again)


def test_real_decisions_of_an_almost_empty_request(same: Same, knowledge: Knowledge) -> None:
    request = domain.CheckRequest(
        domain.Prescription(domain.Medication(text="cyclobenzaprine 10 mg")), domain.Patient(), 0
    )
    for view in VIEWS:
        same(check(knowledge, request, b"key"), view)


# --- made-up decisions -------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["", "a", "hepatic.start-dose", "prescription.refills", "mg", "é\u2028", "x" * 200])
OPTIONS = st.sampled_from(["exercise", "yoga", "tai-chi", "superficial-heat"])
NUMBERS = st.sampled_from([0, 1, 2, 127, 128, 300])
missing = st.builds(domain.Missing, WORDS, WORDS, WORDS)
checks = st.builds(
    domain.Check,
    WORDS,
    NUMBERS,
    WORDS,
    st.sampled_from(CheckStatus),
    WORDS,
    st.lists(missing, max_size=2).map(tuple),
    st.sampled_from(Severity),
)
citations = st.builds(domain.Citation, *[WORDS] * 11)
words = st.lists(WORDS, max_size=3).map(tuple)


def several(each: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(each, max_size=3).map(tuple)


facts = st.builds(domain.FactUsed, WORDS, WORDS, WORDS, words)
alert_words = st.builds(
    domain.AlertWords,
    rule_id=WORDS,
    rule_version=NUMBERS,
    kind=st.sampled_from(domain.RuleKind),
    severity=st.sampled_from([each for each in Severity if each]),
    subject=WORDS,
    title=WORDS,
    message=WORDS,
    action=WORDS,
    computation=WORDS,
    facts=several(facts),
    thresholds=several(st.builds(domain.Threshold, *[WORDS] * 7)),
    citations=several(citations),
    suggestions=several(st.builds(domain.Suggestion, *[WORDS] * 5)),
    dur_codes=words,
    act_codes=words,
    default_severity=st.sampled_from(Severity),
)
overrides = st.builds(domain.PriorOverride, WORDS, st.none() | st.integers(0, 50_000), WORDS)


@st.composite
def alerts(draw: st.DrawFn) -> domain.Alert:
    said = draw(alert_words)
    return domain.Alert(
        words=said,
        fingerprint=draw(WORDS),
        facts=said.facts if draw(st.booleans()) else draw(several(facts)),
        missing=draw(several(missing)),
        implicated=draw(several(st.builds(domain.Implicated, st.sampled_from(domain.Role), WORDS, WORDS))),
        care_option_ids=draw(several(OPTIONS)),
        pathway_step=draw(NUMBERS),
        interruptive=draw(st.booleans()),
        overridden_before=draw(st.none() | overrides),
    )


pathways = st.builds(
    domain.CarePathway,
    st.sampled_from(["", "acute", "subacute", "chronic"]),
    NUMBERS,
    # The pathway always has its steps; as bytes, a message without content is one that was not sent.
    st.lists(st.builds(domain.PathwayStep, NUMBERS, WORDS, WORDS, st.booleans()), min_size=1, max_size=3).map(tuple),
    WORDS,
)
decisions = st.builds(
    domain.Decision,
    overall=st.sampled_from(domain.Overall),
    highest_severity=st.sampled_from(Severity),
    complete=st.booleans(),
    as_of=st.integers(0, 50_000),
    alerts=several(alerts()),
    checks=several(checks),
    suppressed=several(checks),
    resolved_medications=st.just(()),
    not_processed=several(st.builds(domain.NotProcessed, WORDS, WORDS)),
    normalized_order=st.just(domain.NormalizedOrder(start=3)),
    care_pathway=pathways,
    care_option_ids=several(OPTIONS),
    knowledge_version=WORDS,
    knowledge_digest=WORDS,
    policy_id=WORDS,
    policy_digest=WORDS,
    engine_version=WORDS,
    conflicts=words,
)


@given(decision=decisions, view=st.sampled_from(VIEWS))
def test_made_up_decisions(same: Same, decision: Decision, view: View) -> None:
    same(decision, view)


def test_no_id_and_no_text_of_a_request_is_kept(
    fast: FastEncoder, knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    secret = "Jane-Doe-4711"
    request_sent.prescription.id = secret
    request_sent.prescription.medication.text = f"Cyclobenzaprine 10 mg for {secret}"
    request_sent.patient.id = secret
    request_sent.patient.medications.items[0].id = f"record of {secret}"
    for view in VIEWS:
        answer = fast.response(check(knowledge, decode(request_sent, 0).request, b"key"), view, secret, b"\x07" * 16, 0)
        assert secret.encode() in answer

    kept = [*(each for each in vars(encode_fast).values() if hasattr(each, "cache_info"))]
    kept += [value for name, value in vars(fast).items() if name != "_knowledge"]
    seen = texts_in(kept)
    assert any(b"hepatic.start-dose" in each for each in seen), "the search finds what is kept"
    assert not [each for each in seen if secret.encode() in each]


def texts_in(roots: list[object]) -> list[bytes]:
    """Every text that can be reached, but for what the knowledge holds."""
    found: list[bytes] = []
    passed: set[int] = set()
    while roots:
        each = roots.pop()
        if id(each) in passed or isinstance(each, type | Knowledge | FastEncoder | ModuleType | FunctionType):
            continue
        passed.add(id(each))
        if isinstance(each, str | bytes):
            found.append(each.encode() if isinstance(each, str) else each)
        else:
            roots += gc.get_referents(each)
    return found
