"""The non-drug options and the three-step pathway: complete, honest about evidence, told apart by words.

The lists by hand below are the seed article's and ACP 2017's; nothing here is derived from the files.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import rules_data
from safety_service.knowledge.schema import CareOption, CarePathwayFile, Evidence

DATA = Path(rules_data.__file__).parent
FILES = sorted((DATA / "care_options").glob("*.yaml"))

STEP_OF_ARTICLE = {
    "exercise": 1,
    "motor-control-exercise": 1,
    "superficial-heat": 1,
    "tai-chi": 1,
    "yoga": 1,
    "cognitive-behavioral-therapy": 1,
    "progressive-relaxation": 1,
    "mindfulness-based-stress-reduction": 1,
    "massage": 2,
    "spinal-manipulation": 2,
    "multidisciplinary-rehabilitation": 3,
    "lumbar-support": 0,
    "tens": 0,
}
ONLY_IN_ACP = {"acupuncture", "low-level-laser", "operant-therapy", "emg-biofeedback"}
TIER_OF_STEP = {0: "not-helpful", 1: "first-line", 2: "adjunct", 3: "multidisciplinary"}

Finding = tuple[str | None, str | None, str | None, str | None]  # comparator, pain, function, quality

# ACP 2017, Recommendation 2 and its text: chronic pain.
ACP_CHRONIC: dict[str, set[Finding]] = {
    "exercise": {(None, "small", "small", "moderate")},
    "motor-control-exercise": {(None, "moderate", "small", "low")},
    "tai-chi": {(None, "moderate", "small", "low")},
    "yoga": {("usual care", "moderate", "moderate", "low"), ("education", "small", "small", "low")},
    "cognitive-behavioral-therapy": {(None, "moderate", "no effect", "low")},
    "progressive-relaxation": {(None, "moderate", "moderate", "low")},
    "mindfulness-based-stress-reduction": {(None, "small", "small", "moderate")},
    "acupuncture": {
        ("no acupuncture", "moderate", "moderate", "moderate"),
        ("sham acupuncture", "moderate", "no clear effect", "low"),
    },
    "low-level-laser": {(None, "small", "small", "low")},
    "operant-therapy": {(None, "small", "no effect", "low")},
    "emg-biofeedback": {(None, "moderate", "no effect", "low")},
    "spinal-manipulation": {
        ("inert treatment", "small", None, "low"),
        ("sham manipulation", "no effect", None, "low"),
        ("other active treatment", None, None, "moderate"),
    },
    "multidisciplinary-rehabilitation": {
        (
            "usual care",
            "moderate short term (under 3 months), small long term",
            "small, short and long term",
            "moderate",
        ),
        ("no multidisciplinary rehabilitation", "moderate", "small", "low"),
    },
}
# Its Recommendation 1: acute and subacute pain.
ACP_ACUTE: dict[str, set[Finding]] = {
    "superficial-heat": {(None, "moderate", "moderate", "moderate")},
    "massage": {
        (
            None,
            "small to moderate at 1 week, not at 5 weeks",
            "small to moderate at 1 week, not at 5 weeks",
            "low",
        )
    },
    "acupuncture": {(None, "small", None, "low")},
    "spinal-manipulation": {("sham manipulation", None, "small", "low")},
}

SOURCE_OF_BODY = {
    "Article 2025": "seed-article",
    "ACP 2017": "acp-2017",
    "WHO 2023": "who-2023",
    "NICE NG59": "nice-ng59",
    "VA/DoD 2017": "vadod-2017",
    "APTA 2021": "apta-2021",
    "AHRQ 2020": "ahrq-2020",
}
SNOMED = {"51998003", "91251008", "44868003", "387854002", "710124007", "440314008"}


def read(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)


def option_from(data: Any) -> CareOption:
    # As JSON: strict on types, while lists and names of enums are taken for what they are.
    return CareOption.model_validate_json(json.dumps(data))


OPTIONS = {path.stem: option_from(read(path)) for path in FILES}
EVERY_OPTION = pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)


def pathway() -> CarePathwayFile:
    return CarePathwayFile.model_validate_json(json.dumps(read(DATA / "care_pathway.yaml")))


def evidence(option_id: str, body: str) -> list[Evidence]:
    return [found for found in OPTIONS[option_id].evidence if found.body == body]


def effects(found: Evidence) -> str:
    return f"{found.pain} {found.function}".lower()


def texts(option: CareOption) -> list[str]:
    stated = [found.says for found in option.evidence]
    return [option.name, option.what, option.patient_text, *stated, *option.conflicts]


def normalised(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


# --- complete ---------------------------------------------------------------------------------------------


def test_every_option_of_the_article_and_of_acp_is_there_and_no_other() -> None:
    assert set(OPTIONS) == set(STEP_OF_ARTICLE) | ONLY_IN_ACP


def test_each_option_stands_in_the_article_s_step() -> None:
    steps = {option_id: OPTIONS[option_id].step for option_id in STEP_OF_ARTICLE}
    assert steps == STEP_OF_ARTICLE


@pytest.mark.parametrize("option_id", sorted(ONLY_IN_ACP))
def test_what_only_acp_starts_with_is_first_line_and_says_so(option_id: str) -> None:
    option = OPTIONS[option_id]
    assert option.step == 1
    assert evidence(option_id, "Article 2025") == []
    assert any("The article does not mention it" in conflict for conflict in option.conflicts)


@EVERY_OPTION
def test_a_file_is_named_after_its_option_and_its_tier_follows_its_step(option: CareOption) -> None:
    assert OPTIONS[option.id] is option
    assert option.tier == TIER_OF_STEP[option.step]


@EVERY_OPTION
def test_nobody_is_named_as_reviewer(option: CareOption) -> None:
    assert option.review.status == "not_reviewed"


def test_what_counts_as_exercise_or_physical_therapy() -> None:
    assert {option.id for option in OPTIONS.values() if option.counts_as_active_care} == {
        "exercise",
        "motor-control-exercise",
        "tai-chi",
        "yoga",
        "multidisciplinary-rehabilitation",
    }


# --- honest about the evidence ----------------------------------------------------------------------------


@EVERY_OPTION
def test_each_body_speaks_through_its_own_source(option: CareOption) -> None:
    assert option.evidence
    for found in option.evidence:
        assert found.source == SOURCE_OF_BODY[found.body]


@EVERY_OPTION
def test_the_article_speaks_of_each_of_its_options_and_of_chronic_pain_only(option: CareOption) -> None:
    found = evidence(option.id, "Article 2025")
    assert bool(found) == (option.id in STEP_OF_ARTICLE)
    assert {phase for item in found for phase in item.phases} <= {"chronic"}


@EVERY_OPTION
def test_acp_2017_says_what_its_recommendations_say(option: CareOption) -> None:
    said: dict[tuple[str, ...], set[Finding]] = {}
    for found in evidence(option.id, "ACP 2017"):
        finding = (found.comparator, found.pain, found.function, found.certainty)
        said.setdefault(found.phases, set()).add(finding)
    assert said.get(("chronic",), set()) == ACP_CHRONIC.get(option.id, set())
    assert said.get(("acute", "subacute"), set()) == ACP_ACUTE.get(option.id, set())


def test_acp_2017_on_tens_and_on_nothing_of_lumbar_supports() -> None:
    (tens,) = evidence("tens", "ACP 2017")
    assert (tens.direction, tens.pain, tens.function, tens.certainty) == (
        "no-clear-benefit",
        "no effect",
        "no effect",
        "low",
    )
    assert evidence("lumbar-support", "ACP 2017") == []


@EVERY_OPTION
def test_every_recommendation_of_acp_2017_is_strong(option: CareOption) -> None:
    for found in evidence(option.id, "ACP 2017"):
        assert found.strength == ("strong" if found.direction == "for" else None)


@EVERY_OPTION
def test_the_phases_of_an_option_are_those_its_supporting_evidence_is_about(option: CareOption) -> None:
    speaking = [found for found in option.evidence if found.direction == "for" or option.step == 0]
    assert set(option.phases) == {phase for found in speaking for phase in found.phases}


@EVERY_OPTION
def test_certainty_is_a_known_grade_or_absent(option: CareOption) -> None:
    assert {found.certainty for found in option.evidence} <= {None, "moderate", "low", "very low"}


def test_who_is_conditional_throughout_and_its_certainty_is_given_only_where_it_was_read() -> None:
    found = {option.id: evidence(option.id, "WHO 2023") for option in OPTIONS.values()}
    spoken = {option_id: items[0] for option_id, items in found.items() if items}
    assert {option_id: (item.direction, item.certainty) for option_id, item in spoken.items()} == {
        "exercise": ("for", "low"),
        "acupuncture": ("for", "low"),
        "spinal-manipulation": ("for", "very low"),
        "massage": ("for", "very low"),
        "cognitive-behavioral-therapy": ("for", None),
        "operant-therapy": ("for", None),
        "tens": ("against", "very low"),
        "lumbar-support": ("against", "very low"),
    }
    assert {item.strength for item in spoken.values()} == {"conditional"}


@EVERY_OPTION
def test_what_is_not_helpful_has_nobody_for_it(option: CareOption) -> None:
    directions = {found.direction for found in option.evidence}
    assert ("for" in directions) == (option.step != 0)


# --- sources ----------------------------------------------------------------------------------------------


def sources() -> dict[str, dict[str, Any]]:
    data = read(DATA / "sources" / "other.yaml")
    return {source["id"]: source for source in (data["sources"] if isinstance(data, dict) else data)}


@EVERY_OPTION
def test_every_source_is_known(option: CareOption) -> None:
    cited = {found.source for found in option.evidence} | {code.source for code in option.snomed}
    assert cited <= set(sources())


def test_the_pathway_s_sources_are_known() -> None:
    cited = {step.source for step in pathway().steps} | {pathway().phase_definitions.source}
    assert cited <= set(sources())


def test_old_guidelines_are_marked_as_such() -> None:
    assert sources()["acp-2017"]["status"] == "lapsed"
    assert sources()["vadod-2017"]["status"] == "superseded"


# --- never claimed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option_id", ["cognitive-behavioral-therapy", "operant-therapy", "emg-biofeedback"])
def test_no_gain_in_function_where_acp_found_none(option_id: str) -> None:
    assert {found.function for found in OPTIONS[option_id].evidence} <= {None, "no effect"}
    assert "function" not in OPTIONS[option_id].patient_text
    assert "ACP 2017: no effect on function" in OPTIONS[option_id].what


def test_manipulation_is_never_called_moderate() -> None:
    for found in OPTIONS["spinal-manipulation"].evidence:
        assert "moderate" not in effects(found)
    assert not [text for text in texts(OPTIONS["spinal-manipulation"]) if "moderate" in text.lower()]


def test_function_after_multidisciplinary_rehabilitation_is_small() -> None:
    option = OPTIONS["multidisciplinary-rehabilitation"]
    for found in option.evidence:
        assert found.function is None or found.function.startswith("small")
    assert not [text for text in texts(option) if "moderate" in text.lower()]


@EVERY_OPTION
def test_nothing_is_proven_ineffective_and_no_reference_of_the_article_is_cited(option: CareOption) -> None:
    unsaid = r"ineffective|useless|proven|disproved|pain-spasm|\breference|\[\d\]"
    assert not [text for text in texts(option) if re.search(unsaid, text.lower())]


@EVERY_OPTION
def test_the_article_s_looser_claims_are_not_passed_on_as_acp_s(option: CareOption) -> None:
    acp = " ".join(found.says for found in evidence(option.id, "ACP 2017"))
    assert not re.search(r"Iyengar|acetaminophen|ibuprofen|combined with exercise", acp)


@EVERY_OPTION
def test_patients_are_promised_nothing(option: CareOption) -> None:
    promise = r"\b(will|cures?|heals?|fix(es)?|always|never|guarantee[ds]?|safe|best|proven)\b"
    assert not re.search(promise, option.patient_text.lower())
    assert option.step == 0 or re.search(r"\bmay\b", option.patient_text)


@EVERY_OPTION
def test_patients_get_short_sentences(option: CareOption) -> None:
    sentences = [part for part in re.split(r"[.!?]", option.patient_text) if part.strip()]
    assert 2 <= len(sentences) <= 5
    assert max(len(sentence.split()) for sentence in sentences) <= 20


# --- conflicts are shown ----------------------------------------------------------------------------------


@EVERY_OPTION
def test_where_bodies_point_apart_a_conflict_names_both_sides(option: CareOption) -> None:
    sides: dict[str, set[str]] = {}
    for found in option.evidence:
        sides.setdefault(found.direction, set()).add(found.body)
    told = " ".join(option.conflicts)
    if "against" in sides:
        other = (sides.get("for", set()) | sides.get("insufficient", set())) - {"AHRQ 2020"}
        assert {body for body in sides["against"] | other if body.removesuffix(" NG59") not in told} == set()


@pytest.mark.parametrize(
    ("option_id", "named"),
    [
        ("acupuncture", ["ACP 2017", "WHO 2023", "VA/DoD 2017", "NICE", "not to offer"]),
        ("superficial-heat", ["ACP 2017", "acute and subacute pain only", "article", "chronic"]),
        ("massage", ["ACP 2017", "acute and subacute pain only", "article", "chronic"]),
        ("spinal-manipulation", ["ACP 2017", "article", "sham"]),
        ("multidisciplinary-rehabilitation", ["ACP 2017", "article", "small"]),
        ("yoga", ["ACP 2017", "low"]),
        ("exercise", ["ACP 2017", "article", "similarly effective"]),
    ],
)
def test_known_conflicts_are_told(option_id: str, named: list[str]) -> None:
    told = " ".join(OPTIONS[option_id].conflicts)
    assert [word for word in named if word not in told] == []


@EVERY_OPTION
def test_a_conflict_is_one_plain_sentence(option: CareOption) -> None:
    for conflict in option.conflicts:
        assert conflict.endswith(".")
        assert ". " not in conflict


# --- words and codes by which a record names an option ----------------------------------------------------


@EVERY_OPTION
def test_words_are_normalised_and_include_the_option_s_own_name(option: CareOption) -> None:
    assert all(words == normalised(words) for words in option.words)
    own = {normalised(option.id), normalised(option.name)}
    assert own & set(option.words)


def test_no_words_and_no_code_belong_to_two_options() -> None:
    for named in (
        [words for option in OPTIONS.values() for words in option.words],
        [code.code for option in OPTIONS.values() for code in option.snomed],
    ):
        assert sorted(named) == sorted(set(named))


@pytest.mark.parametrize(
    ("words", "option_id"),
    [
        ("physical therapy", "exercise"),
        ("physiotherapy", "exercise"),
        ("pt", "exercise"),
        ("exercise therapy", "exercise"),
        ("mce", "motor-control-exercise"),
        ("heating pad", "superficial-heat"),
        ("heat wrap", "superficial-heat"),
        ("cbt", "cognitive-behavioral-therapy"),
        ("cognitive behavioural therapy", "cognitive-behavioral-therapy"),
        ("mbsr", "mindfulness-based-stress-reduction"),
        ("mindfulness", "mindfulness-based-stress-reduction"),
        ("chiropractic", "spinal-manipulation"),
        ("lllt", "low-level-laser"),
        ("back brace", "lumbar-support"),
        ("tens unit", "tens"),
    ],
)
def test_common_words_find_their_option(words: str, option_id: str) -> None:
    assert [option.id for option in OPTIONS.values() if words in option.words] == [option_id]


@pytest.mark.parametrize(
    "words", ["manual therapy", "relaxation", "pmr", "laser", "therapy", "rehabilitation", "brace", "rest"]
)
def test_ambiguous_words_find_nothing(words: str) -> None:
    assert not [option.id for option in OPTIONS.values() if words in option.words]


def test_only_sourced_snomed_codes_are_used() -> None:
    used = {code.code for option in OPTIONS.values() for code in option.snomed}
    assert used == SNOMED


# --- the pathway ------------------------------------------------------------------------------------------


def test_the_pathway_has_the_article_s_three_steps() -> None:
    first, second, third = pathway().steps
    assert {step.source for step in pathway().steps} == {"seed-article"}
    assert all(word in first.text.lower() for word in ("exercise", "heat", "yoga", "tai chi", "mindfulness"))
    assert all(word in second.text for word in ("Massage", "manipulation", "acute flare", "2 to 3 weeks"))
    assert all(word in third.text for word in ("multidisciplinary rehabilitation", "specific cause"))


def test_phases_are_acp_s() -> None:
    phases = pathway().phase_definitions
    assert (phases.acute_below_weeks, phases.chronic_above_weeks, phases.source) == (4, 12, "acp-2017")


# --- a bad file is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoiled",
    [
        {"step": 4},
        {"tier": "second-line"},
        {"phases": ["long"]},
        {"words": "yoga"},
        {"colour": "blue"},
        {"review": {"status": "reviewed"}},
    ],
)
def test_an_option_that_does_not_fit_its_shape_is_refused(spoiled: dict[str, Any]) -> None:
    good = read(DATA / "care_options" / "yoga.yaml")
    assert option_from(good).id == "yoga"
    with pytest.raises(ValidationError):
        option_from(good | spoiled)


def test_a_pathway_out_of_order_or_with_phases_that_overlap_is_refused() -> None:
    good = read(DATA / "care_pathway.yaml")
    for spoiled in (
        {"steps": good["steps"][::-1]},
        {"steps": good["steps"][:2]},
        {"phase_definitions": good["phase_definitions"] | {"acute_below_weeks": 12}},
    ):
        with pytest.raises(ValidationError):
            CarePathwayFile.model_validate_json(json.dumps(good | spoiled))
