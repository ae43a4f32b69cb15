"""Sigs by hand: what is read, and for each trap the sig beside it that must not be read."""

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import Answer, Frequency, Quantity
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.knowledge.read import read_document, validate
from safety_service.knowledge.sig import MOST_CHARACTERS, Confidence, Sig, read_sig, sig_words_of
from safety_service.knowledge.sig_words import SigWords, SigWordsFile, faults, sig_tokens

HIGH, MODERATE = Confidence.HIGH, Confidence.MODERATE


@cache
def words() -> SigWords:
    return load_knowledge().sig_words


def read(text: str) -> Sig:
    return read_sig(words(), text)


# Each sig as it reads back in plain words, which say its whole meaning.
READ = [
    ("take 1 tablet by mouth three times a day", HIGH, "take 1 tablet by mouth 3 times a day"),
    ("1 tab PO TID", HIGH, "take 1 tablet by mouth 3 times a day"),
    ("1 tab p.o. t.i.d. p.r.n.", HIGH, "take 1 tablet by mouth 3 times a day as needed"),
    ("Take one (1) tablet three (3) times a day.", HIGH, "take 1 tablet 3 times a day"),
    ("take 1 tablet 2 two times daily", HIGH, "take 1 tablet twice a day"),
    ("one to two tablets bid", HIGH, "take 1 to 2 tablets twice a day"),
    ("1 or 2 tabs bid", HIGH, "take 1 to 2 tablets twice a day"),
    ("1–2 tabs bid", HIGH, "take 1 to 2 tablets twice a day"),
    ("1/2 tab bid", HIGH, "take 0.5 tablet twice a day"),
    ("half a tablet bid", HIGH, "take 0.5 tablet twice a day"),
    ("one-half tablet bid", HIGH, "take 0.5 tablet twice a day"),
    ("½ tab bid", HIGH, "take 0.5 tablet twice a day"),
    ("1½ tabs bid", HIGH, "take 1.5 tablets twice a day"),
    ("1 1/2 tabs bid", HIGH, "take 1.5 tablets twice a day"),
    ("one and a half tablets bid", HIGH, "take 1.5 tablets twice a day"),
    ("1/2-1 tab bid", HIGH, "take 0.5 to 1 tablet twice a day"),
    ("1-1/2 tabs bid", MODERATE, "take 1.5 tablets twice a day"),
    ("0.5 mg bid", HIGH, "take 0.5 mg twice a day"),
    (".5 mg bid", MODERATE, "take 0.5 mg twice a day"),
    ("5.0 mg bid", MODERATE, "take 5 mg twice a day"),
    ("1,000 mg qid", HIGH, "take 1000 mg 4 times a day"),
    ("10mg bid", HIGH, "take 10 mg twice a day"),
    ("5 mL bid", HIGH, "take 5 mL twice a day"),
    ("5 cc bid", MODERATE, "take 5 mL twice a day"),
    ("500 µg bid", MODERATE, "take 500 ug twice a day"),
    ("500 mcg bid", HIGH, "take 500 ug twice a day"),
    ("take 1 tablet (10 mg total) bid", HIGH, "take 1 tablet (10 mg total) twice a day"),
    ("take 1 tablet 10 mg bid", HIGH, "take 1 tablet (10 mg total) twice a day"),
    ("take 2 tablets (10 mg) bid", MODERATE, "take 2 tablets (10 mg total) twice a day"),
    ("take 2 tablets (5 mg each) bid", HIGH, "take 2 tablets (5 mg each) twice a day"),
    ("take two 5 mg tablets bid", HIGH, "take 2 tablets (5 mg each) twice a day"),
    ("1 po bid", MODERATE, "take 1, by mouth twice a day"),
    ("2 tid", MODERATE, "take 2, 3 times a day"),
    ("1 tab once daily", HIGH, "take 1 tablet once a day"),
    ("2 tabs daily", MODERATE, "take 2 tablets once a day"),
    ("1 tab qd", MODERATE, "take 1 tablet once a day"),
    ("1 tab q.i.d.", HIGH, "take 1 tablet 4 times a day"),
    ("1 tab qod", MODERATE, "take 1 tablet every 48 hours"),
    ("1 tab every other day", HIGH, "take 1 tablet every 48 hours"),
    ("1 tab weekly", HIGH, "take 1 tablet once a week"),
    ("1 tab 3 times a week", HIGH, "take 1 tablet 3 times a week"),
    ("1 tab once or twice daily", HIGH, "take 1 tablet 1 to 2 times a day"),
    ("1 tab 2-3x/day", HIGH, "take 1 tablet 2 to 3 times a day"),
    ("1 tab up to 3 times a day", HIGH, "take 1 tablet up to 3 times a day"),
    ("1 tab q6h", HIGH, "take 1 tablet every 6 hours"),
    ("1 tab Q 8 HRS", HIGH, "take 1 tablet every 8 hours"),
    ("1 tab 8 hourly", HIGH, "take 1 tablet every 8 hours"),
    ("1 tab q4-6h prn", HIGH, "take 1 tablet every 4 to 6 hours as needed"),
    ("1 tab every four to six hours if needed", HIGH, "take 1 tablet every 4 to 6 hours as needed"),
    ("1 tab at bedtime", HIGH, "take 1 tablet once a day"),
    ("1 tab qhs", MODERATE, "take 1 tablet once a day"),
    ("1 tab every night at bedtime", HIGH, "take 1 tablet once a day"),
    ("1 tab in the morning and at bedtime", HIGH, "take 1 tablet twice a day"),
    ("1 tab morning, noon and night", HIGH, "take 1 tablet 3 times a day"),
    ("1 tab twice daily with food", HIGH, "take 1 tablet twice a day"),
    ("1 tab 4 times a day before meals and at bedtime", HIGH, "take 1 tablet 4 times a day"),
    ("1 tab tid every 8 hours", HIGH, "take 1 tablet 3 times a day"),
    ("1 tab tid prn muscle spasm", HIGH, "take 1 tablet 3 times a day as needed for muscle spasm"),
    ("1 tab tid as needed for low back pain", HIGH, "take 1 tablet 3 times a day as needed for low back pain"),
    ("1 tab tid for muscle spasms", HIGH, "take 1 tablet 3 times a day for muscle spasms"),
    ("1 tab tid x 7 days", HIGH, "take 1 tablet 3 times a day for 7 days"),
    ("1 tab tid for two weeks", HIGH, "take 1 tablet 3 times a day for 14 days"),
    ("1 tab tid for a week", HIGH, "take 1 tablet 3 times a day for 7 days"),
    ("1 tab tid for 7-10 days", HIGH, "take 1 tablet 3 times a day for 7 to 10 days"),
    ("1 tab tid for up to 10 days", MODERATE, "take 1 tablet 3 times a day for 10 days"),
    ("1 tab tid x3d", MODERATE, "take 1 tablet 3 times a day for 3 days"),
    ("1 tab tid 10 days", MODERATE, "take 1 tablet 3 times a day for 10 days"),
    ("1 tab daily for 1 month", MODERATE, "take 1 tablet once a day for 28 to 31 days"),
    ("1 tab q4h prn max 3 per day", HIGH, "take 1 tablet every 4 hours as needed max 3 tablets per day"),
    ("1 tab q4h prn, not to exceed 60 mg in 24 hours", HIGH, "take 1 tablet every 4 hours as needed max 60 mg per day"),
    ("1 tab tid MDD 3", HIGH, "take 1 tablet 3 times a day max 3 tablets per day"),
    ("1-2 tabs q6h prn max 6/day", MODERATE, "take 1 to 2 tablets every 6 hours as needed max 6 tablets per day"),
    ("1000 mg IM q8h", HIGH, "take 1000 mg intramuscular every 8 hours"),
    ("prn", HIGH, "take as needed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "confidence", "means"), READ, ids=[row[0] for row in READ])
def test_read(text: str, confidence: Confidence, means: str) -> None:
    sig = read(text)
    assert (sig_words_of(sig), sig.unparsed, sig.refused) == (means, (), ())
    assert sig.confidence is confidence
    assert bool(sig.assumptions) is (confidence is MODERATE)


# Beside each: what would be wrong if it were read.
REFUSED = [
    "1 tab od",  # once daily, or the right eye
    "1 u bid",  # units, or a zero
    "1 tab biw",
    "1 tab tiw",
    "1 gr bid",  # grains
    "1 tsp bid",
    "5² mg bid",  # not 52
    "٥ mg bid",
    "2,5 mg bid",  # two and a half, or two numbers
    "tab.5 mg bid",  # not five
    "1.5.5 mg bid",
    "11/2 tabs bid",
    "1/3 tab bid",
    "one 1/2 tablet bid",  # one and a half, or a half
    "2-1 tabs bid",
    "0 tabs bid",
    "one (2) tablets bid",
    "1 tab bid 1 tab qhs",
    "1 tab in the morning and 2 tabs at bedtime",
    "1 morning 2 nights",
    "take 1 in the morning and 2 at night",
    "2 daily",  # two at once, or one twice
    "4/day",
    "2 tablets 3 day",  # for 3 days, or three a day
    "8 am",
    "take 8 am",
    "1 tab at 8 am and 8 pm",
    "1 tab q8",
    "1 tab q 30 minutes",
    "1 tab qd-bid",
    "1 tab bid or tid",
    "1 tab bid/tid",
    "1 tab tid every 6 hours",
    "1 tab every 12 hours daily",
    "1 tab twice daily in the evening",
    "1 tab bid and at bedtime",  # three a day
    "1 tab once daily and at bedtime",
    "1 tab at bedtime and bid",
    "1 tab bid and prn",  # twice and more when needed
    "1 tab in the evening and at bedtime",
    "1 tab daily with meals",  # once or three times
    "1 tab with meals and at bedtime",
    "1 tab with meals",
    "1 tab every other night",
    "1 tab every 3 months",
    "1 tab for 3 days a week",
    "1 tab daily for 3 days a week",
    "1 tab tid 5 days on 2 days off",
    "1 tab tid on Mondays",
    "1 tab tid except Sunday",
    "1 tab tid unless drowsy",
    "1 tab tid only if needed",
    "do not take 1 tab tid",
    "not 1 tab tid",
    "hold 1 tab tid",
    "may take 1 tab tid",
    "1 tab tid as directed",
    "1 tab tid as tolerated",
    "1 tab tid until gone",
    "1 tab tid then 1 tab bid",
    "1 tab tid for 3 days then stop",
    "1 tab tid, taper over 2 weeks",
    "1 tab tid, increase to 2 tabs",
    "1 tab tid, may repeat once",
    "1 tab tid x 10",
    "1 tab tid for 3 doses",
    "2 tabs at once",
    "1 tab po iv bid",
    "1 tab tid max 3",
    "1 tab tid max 3 per week",
    "2 tabs tid max 1 per day",  # less than one dose
    "5 mL tid max 3 per day",
    "1 tab tid for 7 days for 10 days",
    "2 tabs of amoxicillin tid",
    "1 tabet tid",  # never corrected
    "1 puff bid",
    "1 tab bidx10 days",
    "tome una tableta tres veces al dia",
    "1 comprimé trois fois par jour",
    "1 Tablette 3 mal am Tag",
    "1 compressa die",
    "每日三次，每次一片",
]


@pytest.mark.parametrize("text", REFUSED)
def test_not_read(text: str) -> None:
    sig = read(text)
    assert not sig.usable, sig_words_of(sig)
    assert sig.unparsed or sig.refused


@pytest.mark.parametrize("text", ["", "   ", ".", "take", "\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert read(text) == Sig()


def test_what_is_not_said_is_not_known() -> None:
    sig = read("1 tablet")
    assert (sig.frequency, sig.as_needed, sig.route, sig.days, sig.daily_most) == (None, Answer.UNKNOWN, "", None, None)
    assert (sig.dose_low, sig.dose_high) == (Quantity(1.0, "{tbl}"), Quantity(1.0, "{tbl}"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 tab tid", Answer.NO),
        ("1 tab tid prn", Answer.YES),
        ("1 tab tid for pain", Answer.UNKNOWN),  # many mean "when it hurts"
        ("1 tab up to 3 times a day", Answer.UNKNOWN),
        ("1 tab", Answer.UNKNOWN),
    ],
)
def test_as_needed(text: str, answer: Answer) -> None:
    assert read(text).as_needed is answer


def test_a_range_of_hours_is_fewest_and_most() -> None:
    assert read("1 tab q4-6h").frequency == Frequency(2, 3, 12)
    assert read("1 tab q6-8h").frequency == Frequency(3, 4, 24)
    assert read("1 tab every 2 to 3 days").frequency == Frequency(2, 3, 144)


def test_qd_is_never_qid_and_says_so() -> None:
    assert read("1 tab qd").frequency == Frequency(1, 1, 24)
    assert read("1 tab qd").assumptions == ("qd read as once a day, not as qid",)
    assert read("1 tab qid").frequency == Frequency(4, 4, 24)


def test_steps_are_named() -> None:
    assert "more than one step: then" in read("2 tabs tid then 1 tab tid").refused
    assert "more than one dose" in read("2 tabs tid then 1 tab tid").refused


def test_a_long_text_is_refused_unread() -> None:
    assert read("1 tab tid " + "x" * MOST_CHARACTERS).refused
    assert read("1 tab tid " * 60).refused


# --- properties --------------------------------------------------------------------------------------------------

_VOCABULARY = """take 1 2 3 1/2 0.5 one two half a tablet tablets tab mg ml po by mouth once twice times a day daily
every each q 4 6 8 h hours hour days week weeks at bedtime in the morning evening noon night and or to - , ( ) ; x for
up to prn as needed pain spasm max per mdd not then except other bid tid qid qd qod hs total with meals food im until of
10 7 unless taper od u ½ µg .5 1.0 / don't Take TID""".split()


@given(st.lists(st.sampled_from(_VOCABULARY), max_size=14).map(" ".join))
def test_words_in_any_order_read_back_to_the_same_meaning(text: str) -> None:
    """What is used reads back to itself: nothing is kept that its own words would not say."""
    sig = read(text)
    if sig.usable:
        again = read(sig_words_of(sig))
        assert again.usable
        silent = {"confidence": HIGH, "assumptions": (), "reason": ""}
        assert replace(again, **silent) == replace(sig, **silent)  # type: ignore[arg-type]


_DOSES = [
    ("1 tablet", (1, 1, "{tbl}")), ("one tab", (1, 1, "{tbl}")), ("two (2) capsules", (2, 2, "{cap}")),
    ("half a tablet", (0.5, 0.5, "{tbl}")), ("1 1/2 tabs", (1.5, 1.5, "{tbl}")), ("1-2 tabs", (1, 2, "{tbl}")),
    ("one to three pills", (1, 3, "{pill}")), ("7.5 mg", (7.5, 7.5, "mg")), ("5-10mg", (5, 10, "mg")),
]  # fmt: skip
_OFTEN = [
    ("tid", (3, 3, 24)), ("three times a day", (3, 3, 24)), ("BID", (2, 2, 24)), ("2-3 times daily", (2, 3, 24)),
    ("q8h", (1, 1, 8)), ("every 4 to 6 hours", (2, 3, 12)), ("at bedtime", (1, 1, 24)), ("nightly", (1, 1, 24)),
    ("in the morning and at bedtime", (2, 2, 24)), ("once weekly", (1, 1, 168)), ("every other day", (1, 1, 48)),
]  # fmt: skip
_LASTING = [("", None), ("for 7 days", (7, 7)), ("x 2 weeks", (14, 14)), ("for 10-14 days", (10, 14))]
_NEEDED = [("", Answer.NO), ("prn", Answer.YES), ("as needed for pain", Answer.YES), ("if needed", Answer.YES)]
_ROUTES = [("", ""), ("by mouth", "oral"), ("PO", "oral"), ("IM", "intramuscular")]


@given(
    *(st.sampled_from(table) for table in (_DOSES, _OFTEN, _LASTING, _NEEDED, _ROUTES)),
    st.permutations(range(5)),
    st.sampled_from([" ", ", ", "; ", " - "]),
)
def test_parts_in_any_order_mean_what_they_were_made_of(
    dose: tuple[str, tuple[float, float, str]],
    often: tuple[str, tuple[int, int, int]],
    lasting: tuple[str, tuple[int, int] | None],
    needed: tuple[str, Answer],
    route: tuple[str, str],
    order: list[int],
    joint: str,
) -> None:
    parts = (dose[0], often[0], lasting[0], needed[0], route[0])
    sig = read(joint.join(parts[i] for i in order if parts[i]))
    low, high, unit = dose[1]
    if joint in (", ", "; ") or order == sorted(order):
        assert sig.usable
    if sig.usable:
        assert (sig.dose_low, sig.dose_high) == (Quantity(low, unit), Quantity(high, unit))
        assert sig.frequency == Frequency(*often[1])
        assert (sig.days, sig.as_needed, sig.route) == (lasting[1], needed[1], route[1])


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    sig = read(text)
    assert sig.usable or sig.unparsed or sig.refused or sig == Sig()


@given(
    st.sampled_from([row[0] for row in READ]),
    st.sampled_from("not except unless then except hold skip alternating instead stop od xyz other".split()),
    st.randoms(use_true_random=False),
)
def test_a_word_that_is_not_understood_stops_any_sig(text: str, word: str, chance: random.Random) -> None:
    parts = text.split()
    parts.insert(chance.randint(0, len(parts)), word)
    assert not read(" ".join(parts)).usable


def test_a_sign_is_never_lost() -> None:
    assert sig_tokens("1.5 tab(s) (q.i.d.), 2,5 tab.5 5² ½") == (
        *("1.5", "tabs", "(", "qid", ")", ",", "2,5", "tab", ".", "5", "5", "\ufffd", "1", "/", "2"),
    )  # fmt: skip


# --- the word lists ----------------------------------------------------------------------------------------------


def words_file() -> SigWordsFile:
    path = RULES_DATA / "sig_words.yaml"
    return validate(read_document(path, path.name), SigWordsFile)


def test_contradictions_in_the_lists_are_refused() -> None:
    file = words_file()
    assert list(faults(file)) == []
    bid, tid = file.frequencies[0], file.frequencies[1]
    twice = file.model_copy(update={"frequencies": (bid, tid.model_copy(update={"words": ("b.i.d.",)}))})
    assert [reason for _, reason in faults(twice)] == ["'b.i.d.' is given twice, or holds no word"]
    no_source = file.model_copy(update={"frequencies": (bid.model_copy(update={"source": "hearsay"}),)})
    assert [reason for _, reason in faults(no_source)] == ["no source is called 'hearsay'"]


def test_an_error_prone_abbreviation_is_never_read_without_saying_so() -> None:
    file = words_file()
    for entry in (*file.units, *file.frequencies, *file.slots, *file.routes):
        assert (entry.source == "ismp") is (entry.assumed is not None), entry
