"""The words of drug names that name no drug: units, dose forms, routes, release, salts, directions.

Names and free text are both cut by `tokens`, so that case, spacing and punctuation make no difference:
"10mg", "10 MG" and "10-mg" are the same two words, "B12" and "B-12" too.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# "1,000" is a thousand; "2,5" is kept as it stands, because it may be two and a half or two numbers. ".5"
# is a number only after a space: in "tab.10mg" the point ends a word. "/", "%", "#" and "-" have a meaning
# of their own.
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:,\d+)+|\d+(?:\.\d+)?|(?<![^\W_])\.\d+|[^\W\d_]+|[/%#-]"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DROPPED = dict.fromkeys(map(ord, "'\u2019\u00ae\u2122"))


def tokens(text: str) -> list[str]:
    """Lower-case words, numbers and the marks "/", "%", "#", "-" of `text`, in order. Never raises."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_DROPPED)
    return [
        found.replace(",", "") if "," in found and _THOUSANDS.fullmatch(found) else found
        for found in _TOKEN.findall(plain)
    ]


def phrase(text: str) -> tuple[str, ...]:
    """`text` as the words and numbers to look a drug name up by: marks dropped, "and" and "with" kept out."""
    return tuple(token for token in tokens(text) if token not in MARKS and token not in JOINING)


MARKS = frozenset("/%#-")
JOINING = frozenset(("and", "with", "w"))

# Words of directions and packaging, which say nothing about which drug it is.
SAYS_NOTHING = frozenset(
    "a an the of to by via at in on as is be been if then this that do does exceed drive drink alcohol"
    " take takes taking taken give given use used using apply place swallow dissolve chew"
    " half one two three four five six time times once twice thrice per each every daily everyday day days"
    " week weeks weekly month months hour hours hr hrs h morning evening night nightly bedtime noon before"
    " after during meal meals food water mouth tongue under up max maximum max dose doses dosage directed"
    " needed need needs prn bid tid qid qd qod qhs hs qam qpm q x for pain spasm spasms spasticity muscle"
    " muscles relaxant relaxer low lower back generic brand only name medication medicine drug rx otc sig"
    " disp dispense qty quantity count ct refill refills bottle total usp strength size single release"
    " dosing abuse deterrent sensor matrix delivery osmotic biphasic bead sprinkle micronized modified"
    " actuat".split()
)
# Before the last drug of a text, these leave it open which drug is meant; some do behind it too.
OPEN_BEHIND = frozenset("allergic allergy allergies discontinued held intolerance intolerant stopped".split())
OPEN_BEFORE = OPEN_BEHIND | frozenset(
    "avoid avoids change changed discontinue except former formerly from hold instead never no not or replace"
    " replaced replaces stop switch switched unless versus vs without".split()
)
# A number behind one of these is a count or an interval, not a strength or a release time.
COUNTING = frozenset("# count disp dispense qty quantity x".split())
EVERY = frozenset("each every for in last next over per q within x".split())

# --- salts ------------------------------------------------------------------------------------------------

# Counter-ions, esters, hydrates and dose technologies that end the name of one form of an ingredient.
SALT_ENDINGS = frozenset(
    " acetate anhydrous arginine aspartate axetil benzathine benzoate besylate bisulfate bitartrate bromide"
    " calcium chloride cilexetil citrate decanoate diacetate dihydrate dihydrochloride dimesylate dipivoxil"
    " dipotassium disodium enacarbil epolamine erbumine estolate ethylsuccinate etexilate fumarate furoate"
    " gluconate hippurate hyclate hydrobromide hydrochloride iodide lactate lactobionate lauroxil liposomal"
    " liposome magnesium malate maleate mandelate medoxomil mesylate methylbromide monohydrate mononitrate"
    " mucate napsylate nitrate palmitate pamoate phosphate pidolate pivoxil polistirex polygalacturonate"
    " potassium propanediol propionate proxetil resin saccharate sodium stearate succinate sulfate tannate"
    " tartrate terephthalate tosylate trihydrate tromethamine valerate zinc".split()
)

# How the same words are written in orders; only read right after an ingredient.
SALT_ABBREVIATIONS = frozenset("hcl hbr na cit citr sulf sulphate bitart tart mal phos".split())

# --- strength ---------------------------------------------------------------------------------------------

# Micrograms in one of each unit of mass.
MASS_UNITS = {
    **dict.fromkeys(("mg", "mgs", "milligram", "milligrams"), 1_000),
    # NFKC turns the micro sign into a mu.
    **dict.fromkeys(("mcg", "ug", "\u03bcg", "microgram", "micrograms"), 1),
    **dict.fromkeys(("g", "gm", "gram", "grams"), 1_000_000),
}
VOLUME_UNITS = frozenset(("ml", "mls", "milliliter", "milliliters", "millilitre", "millilitres", "cc"))
OTHER_UNITS = frozenset(("unt", "unit", "units", "iu", "meq", "mmol", "mci", "ir", "bau", "cells", "pnu", "amb", "%"))
HOURS = frozenset(("h", "hr", "hrs", "hour", "hours"))
# What a strength may be per, with the word the service uses; per tablet or capsule is per dosage unit.
PER = {
    **dict.fromkeys(VOLUME_UNITS, "mL"),
    **dict.fromkeys(HOURS, "h"),
    **dict.fromkeys(("mg", "milligram"), "mg"),
    **dict.fromkeys(("actuat", "actuation", "spray", "puff"), "actuation"),
    **dict.fromkeys(("tab", "tabs", "tablet", "tablets", "cap", "caps", "capsule", "capsules", "dose"), ""),
}

# --- dose form, route, release ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FormWords:
    """What a run of words says about the dose form. Empty text: nothing."""

    form: str = ""
    route: str = ""
    release: str = ""  # "er" or "ir"; delayed release stands in the form: "delayed release tablet"


def _table(text: str) -> dict[tuple[str, ...], FormWords]:
    """Lines "word, word = form | route | release" as a table from words to what they say."""
    table: dict[tuple[str, ...], FormWords] = {}
    for line in text.strip().splitlines():
        words, _, meaning = line.partition("=")
        form, route, release = (part.strip() for part in (meaning + "||").split("|")[:3])
        for spelling in words.split(","):
            table[tuple(tokens(spelling))] = FormWords(form, route, release)
    return table


# Longest first; a mark between the words does not matter. Words of one text are merged: "ER oral tablet".
FORM_WORDS = _table(
    """
    tablet, tablets, tab, tabs, tb = tablet
    capsule, capsules, cap, caps, cp = capsule
    pill, pills = pill
    disintegrating tablet, disintegrating tab, orally disintegrating tablet = disintegrating tablet | oral
    orally disintegrating tab, odt, disintegrating oral tablet = disintegrating tablet | oral
    chewable tablet, chewable tab, chew tab, tablet chewable, tab chew, chewable = chewable tablet | oral
    effervescent tablet, effervescent oral tablet = effervescent tablet | oral
    chewable extended release oral tablet = chewable tablet | oral | er
    tablet for oral suspension = tablet for suspension | oral
    granules for oral suspension = granules for suspension | oral
    granules for oral solution = granules for solution | oral
    powder for oral suspension = powder for suspension | oral
    powder for oral solution = powder for solution | oral
    film coated, film coat, coated =
    solution, soln, sol = solution
    suspension, susp = suspension
    syrup, syr = solution | oral
    elixir = solution | oral
    concentrate, conc, concentrated, solution concentrate, oral solution concentrate = concentrate
    concentrated oral solution, concentrated solution, oral concentrate solution = concentrate | oral
    liquid = liquid
    drops = drops
    powder = powder
    granules, granule, granule packet, granules packet = granules
    packet, packets, sachet =
    pellet = pellet
    lozenge = lozenge | oral
    chewing gum = gum | oral
    gel = gel
    cream = cream
    ointment, oint = ointment
    lotion = lotion
    foam = foam
    paste = paste
    mouthwash = mouthwash | oral
    enema = enema | rectal
    suppository, supp = suppository | rectal
    spray = spray
    metered dose nasal spray = spray | nasal
    film = film
    implant, drug implant = implant | implant
    transdermal system, transdermal patch = patch | transdermal
    patch, patches = patch
    medicated patch, topical patch = patch | topical
    medicated pad = pad | topical
    medicated liquid soap, medicated bar soap = soap | topical
    medicated shampoo = shampoo | topical
    vaginal system, vaginal ring = ring | vaginal
    intrauterine system = system | intrauterine
    irrigation solution = solution | irrigation
    gas for inhalation = gas | inhalation
    dry powder inhaler = powder | inhalation
    inhaler = inhaler | inhalation
    mucous membrane topical solution = solution | mucosal
    extended release suspension = suspension | oral | er
    injection, inj = injection | injection
    injectable solution, solution for injection, injection solution, inj soln = injection | injection
    injectable suspension = injectable suspension | injection
    prefilled syringe, syringe = prefilled syringe | injection
    auto injector, autoinjector = auto-injector | injection
    pen injector, pen = pen injector | injection
    cartridge = cartridge | injection
    vial, ampule, ampoule = injection | injection
    kit, pack =
    oral product = | oral
    oral liquid product = liquid | oral
    injectable product = | injection
    inhalant product = | inhalation
    topical product = | topical
    oral, orally, po, by mouth = | oral
    sublingual, sl = | sublingual
    buccal = | buccal
    mucosal = | mucosal
    rectal, pr = | rectal
    vaginal = | vaginal
    nasal, intranasal = | nasal
    topical = | topical
    transdermal = | transdermal
    ophthalmic = | ophthalmic
    otic = | otic
    inhalation, inhaled = | inhalation
    injectable, iv, im, intravenous, intramuscular, subcutaneous = | injection
    intrathecal = | intrathecal
    extended release, ext release, ext rel, extended rel, xr, er, sr, xl, cr, la, sustained release = | | er
    controlled release, long acting, prolonged release, modified release = | | er
    delayed release, del release, dr, ec, enteric coated = | | delayed release
    immediate release, ir = | | ir
    """
)

PACKAGES = frozenset(("kit", "pack"))
_LONGEST_FORM = max(map(len, FORM_WORDS))
_DELAYED = "delayed release"
# Their strength is an amount per volume; an amount alone is a dose.
LIQUIDS = frozenset(("solution", "suspension", "concentrate", "liquid"))
# Taken by mouth and swallowed whole or in the mouth; without another word they are oral.
_ORAL_BY_NATURE = frozenset(
    ("tablet", "capsule", "pill", "granules", "pellet", "chewable tablet", "disintegrating tablet")
)
# Oral solids that release at once unless the name says otherwise.
_SOLIDS = frozenset(("tablet", "capsule", "chewable tablet", "disintegrating tablet", "effervescent tablet"))


def merge(parts: list[FormWords]) -> FormWords:
    """What all form words of one name say together; forms, routes or releases that differ leave it open."""
    forms = {part.form for part in parts if part.form}
    routes = {part.route for part in parts if part.route}
    releases = {part.release for part in parts if part.release}
    form = forms.pop() if len(forms) == 1 else ""
    if not routes and form in _ORAL_BY_NATURE:
        routes = {"oral"}
    if "intrathecal" in routes:
        routes.discard("injection")  # the injection is into the spine
    route = routes.pop() if len(routes) == 1 else ""
    release = releases.pop() if len(releases) == 1 else ""
    if release == _DELAYED:
        return FormWords(f"{_DELAYED} {form}" if form else "", route)
    # "72 HR ... Transdermal System": only what is swallowed has a release to tell apart.
    return FormWords(form, route, release if route in ("", "oral") else "")


def form_at(cut: list[str], start: int) -> tuple[FormWords, int] | None:
    """The longest run of form words that begins at token `start`, and the token behind it."""
    words: list[str] = []
    longest: tuple[FormWords, int] | None = None
    for at in range(start, len(cut)):
        if cut[at] in MARKS:
            continue
        words.append(cut[at])
        if (found := FORM_WORDS.get(tuple(words))) is not None:
            longest = found, at + 1
        if len(words) == _LONGEST_FORM:
            break
    return longest


def read_form(words: str) -> FormWords:
    """The dose form, route and release that `words` name; words of another kind are passed over."""
    cut = tokens(words)
    parts: list[FormWords] = []
    at = 0
    while at < len(cut):
        found = form_at(cut, at)
        if found is not None:
            parts.append(found[0])
        at = found[1] if found is not None else at + 1
    return merge(parts)


def immediate_unless_said(said: FormWords) -> str:
    """The release of a product whose whole dose form is `said`: "er", "ir" for oral solids, else ""."""
    if said.release:
        return said.release
    return "ir" if said.form in _SOLIDS and said.route == "oral" else ""
