"""All records of a bucket, checked: what `replay` answers of each, with what repeats itself worked out once.

Each patient's history is kept and added to. What is known of the patient, what an order says by itself and which
answers follow from a program's masks is remembered for all records that say the same. Words are put together for alerts
alone, and a drug of which no rule asks anything costs next to nothing. All of it is asked of the engine's functions: no
fact and no rule is defined here. A record or a patient of a shape not known here goes through the engine whole.
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.buckets import Bucket, patients
from safety_service.audit.known import (
    Known,
    PatientRows,
    Row,
    Told,
    indications_of,
    is_index,
    planned_end,
    prescription_of,
    record_of,
    same_supply,
)
from safety_service.audit.replay import (
    COUNTED,
    KINDS,
    OVERALL,
    RANK,
    RANKED,
    STATUSES,
    Found,
    add,
    alert_row,
    facts_column,
    month_of,
    replay,
    thresholds_column,
)
from safety_service.audit.tables import concept
from safety_service.domain import (
    AlertWords,
    Answer,
    Check,
    CheckRequest,
    CheckStatus,
    Completeness,
    Condition,
    Hepatic,
    HepaticGrade,
    Implicated,
    MatchedBy,
    NotProcessed,
    Overall,
    Patient,
    Prescription,
    RecordKind,
    RecordStatus,
    to_date,
)
from safety_service.engine.allergies import NO_ALLERGIES, put_allergies
from safety_service.engine.check import (
    Fired,
    Verdict,
    Weighed,
    answered,
    missing_facts,
    of_one_drug,
    overall_of,
    relaxants_taken,
    unanswered_pairs,
    verdict,
    weigh,
    weigh_read,
)
from safety_service.engine.explain import Telling, implicated_in, put_in_words
from safety_service.engine.facts import (
    LineFacts,
    Order,
    candidate_lines,
    class_role_of,
    pair_facts,
    put_history,
    put_order,
    read_order,
    relaxants_without_rules,
)
from safety_service.engine.history import History, Recorded, display_name, recognise, recognised, sets_mask
from safety_service.engine.kept import KeptHistory, KnownRecord
from safety_service.engine.patient import (
    Listing,
    PatientFacts,
    lasting_facts,
    patient_facts,
    put_ages,
    put_answers,
    put_back_pain,
    put_care,
    put_dated,
    read_listing,
)
from safety_service.engine.problems import NO_PROBLEMS, Problems
from safety_service.engine.supply import Dose
from safety_service.engine.use import put_use
from safety_service.knowledge.knowledge import Knowledge, Line, Program
from safety_service.knowledge.resolve import Resolution
from safety_service.rules.vocabulary import NO, SLOTS, WIDTH, unknown_facts

Masks = tuple[int, int, int]
OneAlert = tuple[Fired, AlertWords, tuple[Implicated, ...], tuple[str, ...]]  # and what could add to it
Fragment = tuple[tuple[int, int], ...]  # slots of facts and what is put there

_ASKED_OF_ANY = frozenset({"code_text_conflict"})  # all that rules for any order may ask, for plain drugs to be alike
_YEARS = SLOTS["age_years"]
_AGES = frozenset({_YEARS, _YEARS + 1, SLOTS["age_months"], SLOTS["age_months"] + 1})
_UNTOUCHED = -(2**40)  # no fact holds it
_MOST = 1 << 16  # of each kind of thing remembered
_ABSENT = len(RANKED)  # a rule that has no answer
_NOT_EVALUATED = RANK[CheckStatus.NOT_EVALUATED]
_IS_COUNTED = np.array([*(status in COUNTED for status in RANKED), False])  # by rank
_UNANSWERED = (Check("", 0, "", CheckStatus.NOT_EVALUATED),)
_OBSERVED = frozenset({"observations", "allergies"})  # tables that are rare enough to be left to the engine whole
_NOBODY = Patient()
_NOTHING_ORDERED = Prescription(concept(""))
_NOT_USED = (NotProcessed("", ""),)


def check_rows(knowledge: Knowledge, bucket: Bucket, told: Told, statuses: bool) -> Found:
    """What the records of a bucket come to; with every rule's answer to each when `statuses` are asked for."""
    checker = Checker(knowledge, told, Found(statuses={name: [] for name in STATUSES.names} if statuses else None))
    with uncollected():
        for rows in patients(bucket if statuses else checker.without_plain(bucket)):
            checker.check(rows)
    return checker.found()


@contextmanager
def uncollected() -> Iterator[None]:
    """The garbage collector rests: nothing here refers to itself, and looking for it takes a fifth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Drug(NamedTuple):
    """What a drug is recognised as."""

    text: str
    resolution: Resolution
    names: tuple[str, ...]
    parts: list[tuple[str, int, int]]
    display: str
    classes: int  # of all its parts
    lead: str  # the relaxant it is ordered as, "" for none
    relaxant: bool
    recognised: bool  # all of it, and no relaxant without rules in it
    plain: bool  # no relaxant, recognised, and code and text agree


class Shape(NamedTuple):
    """An order without its dates, its patient and its indications: what follows from it alone."""

    order: Order
    line: Line | None  # none: not of one line alone
    dose: Dose
    facts: Fragment
    allergies: Fragment


class Asked(NamedTuple):
    """What a program said for one drug. `own`: only its rules of that drug alone count."""

    program: Program
    masks: Masks
    facts: LineFacts
    own: bool


class Said(NamedTuple):
    """What a program's masks come to. `ranks`: of each rule of the catalogue, where its answer stands in `RANKED`.

    `open` has, by the place of an answer that was left partly open, the clauses that are.
    """

    ranks: bytes
    fired: list[Fired]
    open: dict[int, int]
    unanswered: bool
    suppressed: bool
    verdict: Verdict


class Rest(NamedTuple):
    """What is answered beside the rules of the relaxant ordered: ranks, and whether anything was left unanswered."""

    ranks: bytes
    unanswered: bool
    suppressed: bool


class Checker:
    """Checks one patient after the other, and remembers what they have in common."""

    def __init__(self, knowledge: Knowledge, told: Told, found: Found) -> None:
        self.knowledge = knowledge
        self._told = told
        self._most_days = knowledge.policy_numbers["policy.exposure.most_days"]
        self._found = found
        self._drugs: dict[str, Drug] = {}
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._uses: dict[tuple[str, str, int], tuple[int, Fragment]] = {}
        self._said: dict[tuple[int, Masks, bool], Said] = {}
        self._rests: dict[tuple[Any, ...], Rest] = {}
        self._groups: dict[tuple[bytes, Overall | None], int] = {}
        self._position = {rule.id: i for i, rule in enumerate(knowledge.rules)}
        self._quiet: dict[int, tuple[bytes, list[int]]] = {}
        self._counted: Counter[tuple[str, str, str, str, int, int]] = Counter()
        self._words: dict[int, tuple[AlertWords, Any, Any]] = {}
        self._rows: list[tuple[Any, ...]] = []  # of alerts that are not in their columns yet
        self._silence = bytes([_ABSENT]) * len(knowledge.rules)
        self._patient = Remembered(knowledge)
        any_order = knowledge.any_order.rules
        asked = {name for live in any_order for clause in live.clauses for name in clause.facts}
        values = unknown_facts()
        values[SLOTS["code_text_conflict"]] = NO
        self._of_any_order = verdict(knowledge.any_order, *knowledge.any_order.answer(values))  # of a plain drug
        self._plain_alike = asked <= _ASKED_OF_ANY and all(live.applies is None for live in any_order)

    def held(self) -> int:
        """How many counts are not among those of `found` yet."""
        return len(self._counted)

    def found(self) -> Found:
        """What all patients so far come to."""
        groups = []
        for answers, (_, overall) in zip(self._counted_answers(), self._groups, strict=True):
            groups.append(tuple(answers if overall is None else [*answers, ("", OVERALL[overall])]))
        for (kind, drug, prescriber, practice, month, group), records in self._counted.items():
            self._found.measures[kind, drug, prescriber, practice, month, groups[group]] += records
        self._counted.clear()
        self._groups.clear()  # nothing refers to their numbers any more
        return self._found

    def _counted_answers(self) -> Iterator[list[tuple[str, str]]]:
        """The answers of each group of ranks that are counted, as (rule, answer)."""
        ranks = np.frombuffer(b"".join([ranks for ranks, _ in self._groups]), np.uint8)
        ranks = ranks.reshape(-1, len(self.knowledge.rules))
        group, rule = np.nonzero(_IS_COUNTED[ranks])
        at = (rule * len(RANKED) + ranks[group, rule]).tolist()
        said = [(rule.id, COUNTED.get(status, "")) for rule in self.knowledge.rules for status in RANKED]
        first = 0
        for number in np.bincount(group, minlength=len(ranks)).tolist():
            yield [said[i] for i in at[first : first + number]]
            first += number

    def without_plain(self, bucket: Bucket) -> Bucket:
        """Counts, as columns, the records of patients who only ever had plain drugs; the bucket without them.

        Of such a patient nothing is asked but the classes of each drug: all records of a drug have one answer.
        """
        table = bucket.tables["medications"].combine_chunks()
        if not self._plain_alike or not table.num_rows:
            return bucket
        encoded = table.column("drug").combine_chunks().dictionary_encode()
        drugs = [self.drug(text) for text in encoded.dictionary.to_pylist()]
        code = encoded.indices.to_numpy()
        begin = pc.coalesce(table.column("start"), table.column("known_on"))
        begin = pc.fill_null(begin, 0).to_numpy()
        status = table.column("status").to_numpy()
        plain = np.array([drug.plain for drug in drugs])[code] & (begin != 0)
        plain &= status != int(RecordStatus.ENTERED_IN_ERROR)
        for name, value in (("fills", False), ("record", True)):
            told = pc.not_equal(table.column(name), "").to_numpy()
            plain &= told if value else ~told
        patient = table.column("patient").combine_chunks().dictionary_encode()
        of_patient = patient.indices.to_numpy()
        others = np.zeros(len(patient.dictionary), dtype=np.bool_)
        others[of_patient[~plain]] = True
        incomplete = {*bucket.tables["holes"].column("patient").to_pylist()}
        incomplete.update(*(each.column("patient").to_pylist() for each in bucket.refused.values()))
        if incomplete:
            others |= pc.is_in(patient.dictionary, pa.array(sorted(incomplete))).to_numpy(zero_copy_only=False)
        alone = ~others[of_patient]
        checked = alone & (status != int(RecordStatus.PLANNED))
        checked &= table.column("kind").to_numpy() != int(RecordKind.STATEMENT)
        self._count_plain(table, drugs, code, checked)
        left = patient.dictionary.filter(pa.array(others))
        tables = {name: each.filter(pc.is_in(each.column("patient"), left)) for name, each in bucket.tables.items()}
        return bucket._replace(tables=tables)

    def _count_plain(self, table: pa.Table, drugs: list[Drug], code: Any, checked: Any) -> None:
        at = np.flatnonzero(checked)
        days, day = np.unique(table.column("known_on").to_numpy()[at], return_inverse=True)
        months = np.array([month_of(each) for each in days.tolist()], dtype=np.int64)
        rows = table.select(["kind", "prescriber", "practice"]).take(pa.array(at))
        rows = rows.append_column("drug", pa.array(code[at])).append_column("month", pa.array(months[day]))
        keys = ["kind", "drug", "prescriber", "practice", "month"]
        grouped = rows.group_by(keys).aggregate([([], "count_all")])
        is_open = self._told.medications is not Completeness.COMPLETE
        ranks: dict[int, bytes] = {}
        for number in np.unique(code[at]).tolist():
            drug = drugs[number]
            ranks[number] = self._rest(drug, is_open, ()).ranks
        for kind, number, prescriber, practice, month, records in zip(
            *(grouped.column(name).to_pylist() for name in (*keys, "count_all")), strict=True
        ):
            self._count_unit(KINDS[kind], drugs[number], prescriber, practice, month, (ranks[number], None), records)

    def check(self, rows: PatientRows) -> None:
        """Adds what the records of one patient come to."""
        observed = rows.observations or rows.allergies or rows.holes & _OBSERVED
        if self._found.statuses is not None or observed or not _in_order(rows):
            self._put_alerts()
            replay(self.knowledge, rows, self._told, self._found)
            return
        known = Known(rows, self._told, self._most_days)
        drugs = [self.drug(row["drug"]) for row in rows.medications]
        filling = any(row["fills"] for row in rows.medications)
        if self._plain_alike and not filling and not any(drug.relaxant for drug in drugs):
            self._check_without_relaxants(known, drugs)
            return
        patient = OnePatient(self._patient, known)
        kept = KeptHistory(self.knowledge, known.medications_complete)
        for i, (row, drug) in enumerate(zip(rows.medications, drugs, strict=True)):
            if is_index(row) and row["known_on"] >= rows.since:
                history = _history(kept, rows, i, filling)
                if not self._add(row, drug, history, patient):
                    weighed = self._weigh(row, drug, history, patient)
                    self._put_alerts()
                    add(self._found, row, weighed, answered(self.knowledge, weighed))
            dated = record_of(row, self._most_days)
            recorded = Recorded(row["record"], "", drug.display, drug.resolution, row["prescriber"])
            kept.add(KnownRecord(dated.before, dated.day, dated.after, recorded, drug.names, drug.parts))
        self._put_alerts()

    def _check_without_relaxants(self, known: Known, drugs: list[Drug]) -> None:
        """Of the history nothing is asked but whether a drug in it could be a relaxant."""
        is_open = not known.medications_complete
        for i, (row, drug) in enumerate(zip(known.rows.medications, drugs, strict=True)):
            if is_index(row) and row["known_on"] >= known.rows.since:
                if drug.plain:
                    self._count(row, drug, self._rest(drug, is_open, ()).ranks, None)
                else:
                    weighed = weigh(self.knowledge, known.request(i))
                    self._put_alerts()
                    add(self._found, row, weighed, answered(self.knowledge, weighed))
            is_open |= any(not name for name, _, _ in drug.parts)

    # --- one record ----------------------------------------------------------------------------------------------

    def _add(self, row: Row, drug: Drug, history: History, patient: OnePatient) -> bool:
        """Adds a record, unless the engine itself has to be asked for it."""
        is_open = not history.complete or history.unrecognised
        day = row["known_on"]
        start = day if row["start"] is None else row["start"]
        if drug.plain and self._plain_alike and not _relaxants_from(self.knowledge, history, start):
            self._count(row, drug, self._rest(drug, is_open, ()).ranks, None)
            return True
        if drug.resolution.conflict or not drug.recognised:
            return False
        shape = self._shape(row, drug)
        recorded = Recorded(row["record"], "prescription", drug.display, drug.resolution, row["prescriber"])
        order = shape.order._replace(start=start, recorded=recorded)
        facts = patient.facts(row, start)
        asked = self._asked(row, drug, shape, order, history, facts)
        if asked is None:
            return False
        rest = self._rest(drug, is_open, asked[drug.relaxant :])
        try:
            alerts = self._alerts(order, history, shape.line if drug.relaxant else None, asked)
        except Exception:  # the engine answers such a rule with an error
            return False
        if drug.relaxant:
            self._count_relaxant(row, drug, asked[0], rest, alerts, bool(history.not_processed or facts.not_processed))
        else:
            self._count(row, drug, rest.ranks, None)
        if alerts:
            self._add_alerts(row, drug, alerts)
        return True

    def _count_relaxant(
        self, row: Row, drug: Drug, own: Asked, rest: Rest, alerts: list[OneAlert], not_used: bool
    ) -> None:
        said = self._what(own)
        overall = overall_of(
            [words.severity for _, words, _, _ in alerts],
            _UNANSWERED if said.unanswered or rest.unanswered else (),
            _UNANSWERED if said.suppressed or rest.suppressed else (),
            not_used,
        )
        ranks = said.ranks if rest.ranks == self._silence else bytes(map(min, said.ranks, rest.ranks))
        self._count(row, drug, ranks, overall)
        values = own.facts.values
        for what in ("course_days", "episode_days"):
            low, high = values[SLOTS[what]], values[SLOTS[what] + 1]
            self._found.days[what, KINDS[row["kind"]], drug.display, low if low == high else -1] += 1

    def _asked(
        self, row: Row, drug: Drug, shape: Shape, order: Order, history: History, patient: PatientFacts
    ) -> list[Asked] | None:
        """The programs asked, as `weigh_read` asks them; None for an order that is not of one line alone."""
        knowledge = self.knowledge
        asked: list[Asked] = []
        if drug.relaxant:
            line = shape.line
            if line is None:
                return None
            values = patient.values.copy()
            role, use = self._use(line, row["indications"], patient.problems)
            for slot, value in use:
                values[slot] = value
            for slot, value in shape.facts:
                values[slot] = value
            for slot, value in shape.allergies:
                values[slot] = value
            if values[SLOTS["relaxant_use"]] == NO:
                return None
            past = put_history(knowledge, order, history, patient.problems, line, role, values)
            evidence = patient.evidence
            if past.doubles:
                evidence = evidence | {"duplicate_order": past.doubles}
            facts = LineFacts(
                line, values, order, history, patient, shape.dose, past.window, past.new_start, (),
                past.episode_records, evidence,
            )  # fmt: skip
            asked.append(Asked(line.program, line.program.answer(values), facts, False))
        elif not self._plain_alike:
            return None
        for line, events in relaxants_taken(knowledge, order, history):
            if line.ingredient != order.relaxant:
                if drug.relaxant and asked[0].facts.line.file.relaxant == "by-indication":
                    return None  # diazepam beside another relaxant: more is asked
                facts = pair_facts(knowledge, order, history, patient, line, events)
                asked.append(Asked(line.pair_program, line.pair_program.answer(facts.values), facts, drug.relaxant))
        return asked

    def _alerts(self, order: Order, history: History, line: Line | None, asked: list[Asked]) -> list[OneAlert]:
        """The alerts in the order in which `answered` gives them, each with the facts that could add to it."""
        found: list[OneAlert] = []
        names = () if line is None else (line.name,)
        for each in asked:
            said = self._what(each)
            if said.fired:
                telling = Telling(self.knowledge, order, history, each.facts, names, 0)
                for fired in said.fired:
                    told = put_in_words(telling, fired.rule, fired.clause)
                    left = said.open.get(fired.at)
                    missing = () if left is None else missing_facts(fired.rule, left, each.facts.values)
                    found.append((fired, told.words, implicated_in(telling, told), missing))
        if len(found) > 1:
            found.sort(key=lambda alert: (-alert[1].severity, alert[1].kind))
        return found

    def _what(self, asked: Asked) -> Said:
        """What masks come to, by the engine's own `verdict`."""
        key = (id(asked.program), asked.masks, asked.own)
        held = self._said.get(key)
        if held is None:
            said = verdict(asked.program, *asked.masks)
            fired = [each for each in said.fired if not asked.own or each.rule.rule.drug is not None]
            shown = [each for each in fired if not each.rule.off]
            quiet, positions = self._quiet_of(asked.program)
            ranks = bytearray(quiet)
            for at, _ in asked.program.live:
                ranks[positions[at]] = RANK[said.answers[at].status]
            for each in fired:
                if each.rule.off:
                    ranks[self._position[each.rule.rule.id]] = _ABSENT
            held = Said(
                bytes(ranks),
                shown,
                {at: unknown for at, _, unknown in said.open},
                _NOT_EVALUATED in ranks,
                len(shown) < len(fired),
                said,
            )
            _keep(self._said, key, held)
        return held

    def _quiet_of(self, program: Program) -> tuple[bytes, list[int]]:
        """The ranks when no condition holds, and where among them each answer stands."""
        held = self._quiet.get(id(program))
        if held is None:
            positions = [
                self._position[each.rule_id if isinstance(each, Check) else each.rule.id] for each in program.entries
            ]
            ranks = bytearray(self._silence)
            for position, answer in zip(positions, program.quiet, strict=True):
                ranks[position] = RANK[answer.status]
            held = self._quiet[id(program)] = bytes(ranks), positions
        return held

    def _add_alerts(self, row: Row, drug: Drug, alerts: list[OneAlert]) -> None:
        day = row["known_on"]
        shared = (
            row["patient"], row["record"], to_date(day), to_date(month_of(day)), KINDS[row["kind"]],
            drug.display, row["prescriber"], row["practice"],
        )  # fmt: skip
        for _, words, implicated, missing in alerts:
            held = self._words.get(id(words))
            if held is None:
                held = words, facts_column(words.facts), thresholds_column(words.thresholds)
                _keep(self._words, id(words), held)
            self._rows.append(alert_row(shared, words, held[1], held[2], missing, implicated))

    def _put_alerts(self) -> None:
        """Puts the alerts that wait in their columns: of one patient at once, which costs less than one by one."""
        for column, values in zip(self._found.alerts.values(), zip(*self._rows, strict=True), strict=False):
            column.extend(values)
        self._rows.clear()

    def _count(self, row: Row, drug: Drug, ranks: bytes, overall: Overall | None) -> None:
        month = month_of(row["known_on"])
        self._count_unit(KINDS[row["kind"]], drug, row["prescriber"], row["practice"], month, (ranks, overall), 1)

    def _count_unit(
        self,
        kind: str,
        drug: Drug,
        prescriber: str,
        practice: str,
        month: int,
        answers: tuple[bytes, Overall | None],
        records: int,
    ) -> None:
        group = self._groups.setdefault(answers, len(self._groups))
        self._found.records[kind] += records
        self._counted[kind, drug.display, prescriber, practice, month, group] += records

    # --- asking the engine itself --------------------------------------------------------------------------------

    def _weigh(self, row: Row, drug: Drug, history: History, patient: OnePatient) -> Weighed:
        knowledge = self.knowledge
        day = row["known_on"]
        request = CheckRequest(prescription_of(row), patient.known.patient(row, day), day)
        order = read_order(knowledge, request, drug.resolution)
        facts = patient_facts(knowledge, request, order.start)
        return weigh_read(knowledge, order, history, facts)

    def _rest(self, drug: Drug, is_open: bool, pairs: Sequence[Asked]) -> Rest:
        """What is answered of a recognised drug beside the rules of the one line ordered."""
        key = (drug.classes, drug.lead, is_open, tuple([(id(each.program), each.masks) for each in pairs]))
        held = self._rests.get(key)
        if held is None:
            held = self._made_rest(drug, is_open, pairs)
            _keep(self._rests, key, held)
        return held

    def _made_rest(self, drug: Drug, is_open: bool, pairs: Sequence[Asked]) -> Rest:
        knowledge = self.knowledge
        checks: list[Check] = []
        spoken: list[tuple[list[Check], list[Fired]]] = []
        if not drug.relaxant:
            checks += knowledge.not_relaxant
            spoken.append((self._of_any_order.answers, self._of_any_order.fired))
        for each in pairs:
            said = self._what(each).verdict
            whole = said.answers, said.fired
            spoken.append(of_one_drug(each.program, *whole) if drug.relaxant else whole)
        answered = [answer for answers, _ in spoken for answer in answers]
        checks += unanswered_pairs(knowledge, drug.parts, is_open, answered, drug.lead if drug.relaxant else None)
        kept_back = [(answers[each.at], each.rule) for answers, fired in spoken for each in fired]
        off = {(answer.subject, rule.rule.id) for answer, rule in kept_back if rule.off}
        ranks = bytearray(self._silence)
        unanswered = suppressed = False
        for check in (*checks, *answered):
            if (check.subject, check.rule_id) in off:
                suppressed = True
                continue
            rank = RANK[check.status]
            unanswered |= rank == _NOT_EVALUATED
            position = self._position[check.rule_id]
            ranks[position] = min(ranks[position], rank)
        return Rest(bytes(ranks), unanswered, suppressed)

    # --- what is remembered --------------------------------------------------------------------------------------

    def drug(self, text: str) -> Drug:
        """What a drug is, once for each text."""
        held = self._drugs.get(text)
        if held is None:
            knowledge = self.knowledge
            resolution = recognised(knowledge.names, concept(text))
            parts = recognise(knowledge, resolution)
            names = resolution.names
            lead = next((name for name in names if name in knowledge.lines_of), "")
            classes = 0
            for _, bits, _ in parts:
                classes |= bits
            whole = (
                all(name and bits == may_bits for name, bits, may_bits in parts)
                and not resolution.unrecognised
                and resolution.matched_by is not MatchedBy.NONE
                and not relaxants_without_rules(knowledge, parts)  # left to the engine: they are few
            )
            plain = whole and not lead and not resolution.conflict
            display = display_name(resolution)
            held = Drug(text, resolution, names, parts, display, classes, lead, bool(lead), whole, plain)
            _keep(self._drugs, text, held)
        return held

    def _shape(self, row: Row, drug: Drug) -> Shape:
        key = _shape_key(row)
        held = self._shapes.get(key)
        if held is None:
            request = CheckRequest(prescription_of({**row, "indications": ""}), _NOBODY, row["known_on"])
            order = read_order(self.knowledge, request, drug.resolution)
            lines = candidate_lines(self.knowledge, order) if drug.relaxant else ()
            line = lines[0] if len(lines) == len(order.relaxants) == 1 else None
            given: list[Dose] = [Dose()]
            facts: Fragment = ()
            allergies: Fragment = ()
            if line is not None:
                facts = _fragment(lambda values: given.append(put_order(self.knowledge, order, False, values)))
                allergies = self._patient.allergies(line, drug.text, drug.resolution)
            held = Shape(order, line, given[-1], facts, allergies)
            _keep(self._shapes, key, held)
        return held

    def _use(self, line: Line, indications: str, problems: Problems) -> tuple[int, Fragment]:
        """How an order for `indications` counts for the class, and the facts of its purpose."""
        key = (line.id, indications, problems.now)
        held = self._uses.get(key)
        if held is None:
            prescription = Prescription(concept(""), indications=indications_of(indications))
            request = CheckRequest(prescription, _NOBODY, 0)
            roles: list[int] = []
            facts = _fragment(
                lambda values: roles.append(class_role_of(put_use(self.knowledge, request, problems, line, values)))
            )
            held = roles[0], facts
            _keep(self._uses, key, held)
        return held


class Remembered:
    """What is read of patients, once for all that have the same on their lists."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self._listings: dict[tuple[Any, ...], Listing] = {}
        self._lasting: dict[tuple[int, int, int], tuple[Listing, PatientFacts]] = {}
        self._allergies: dict[tuple[str, str], Fragment] = {}
        self._answers: dict[tuple[int, int, int], Fragment] = {}
        self._purposes: dict[tuple[str, int], tuple[Fragment, bool]] = {}
        self._dated: dict[Any, tuple[Listing, Fragment, dict[str, tuple[str, ...]]]] = {}
        self._infarction = sets_mask(knowledge, ("myocardial-infarction",))
        self._indicated: dict[str, tuple[Condition, ...]] = {}

    def listing(self, patient: Patient, day: int) -> Listing:
        """The problem list read."""
        listed = patient.conditions
        content = tuple([(each.codings, each.status, "" if each.codings else each.id) for each in listed.items])
        key = (content, listed.completeness)
        held = self._listings.get(key)
        if held is None:
            held = read_listing(self.knowledge, listed, day)
            _keep(self._listings, key, held)
        return held

    def lasting(self, grade: int, falls: int, listing: Listing) -> PatientFacts:
        """The facts that no day changes."""
        key = (id(listing), grade, falls)
        held = self._lasting.get(key)
        if held is None or held[0] is not listing:
            patient = Patient(hepatic=Hepatic(grade=HepaticGrade(grade)), falls=Answer(falls))
            request = CheckRequest(_NOTHING_ORDERED, patient, 0)
            held = listing, lasting_facts(self.knowledge, request, listing)
            _keep(self._lasting, key, held)
        return held[1]

    def answers(self, row: Row) -> Fragment:
        """What the record answers with yes or no."""
        key = (row["drives"], row["alcohol_use"], row["benefit_documented"])
        held = self._answers.get(key)
        if held is None:
            patient = Patient(alcohol_use=Answer(key[1]), drives_or_operates_machinery=Answer(key[0]))
            prescription = Prescription(concept(""), benefit_documented=Answer(key[2]))
            held = self._answers[key] = _fragment(lambda values: put_answers(patient, prescription, values))
        return held

    def put_dated(
        self,
        patient: Patient,
        day: int,
        start: int,
        listing: Listing,
        values: list[int],
        evidence: dict[str, tuple[str, ...]],
    ) -> None:
        """Puts what changes from day to day: by the age alone, without liver tests and an infarction."""
        problems = listing.problems
        if patient.hepatic.labs.items or problems.ever & self._infarction:
            put_dated(self.knowledge, patient, day, start, day, problems, values, {}, evidence, [])
            return
        put_ages(patient, day, values)
        key = (id(listing), patient.sex, patient.hepatic.labs.completeness, values[_YEARS], values[_YEARS + 1])
        held = self._dated.get(key)
        if held is None or held[0] is not listing:
            codes: dict[str, tuple[str, ...]] = {}
            facts = _fragment(
                lambda values: put_dated(self.knowledge, patient, day, start, day, problems, values, {}, codes, [])
            )
            held = listing, tuple([each for each in facts if each[0] not in _AGES]), codes
            _keep(self._dated, key, held)
        for slot, value in held[1]:
            values[slot] = value
        if held[2]:
            evidence.update(held[2])

    def put_purpose(self, indications: str, patient: Patient, problems: Problems, day: int, values: list[int]) -> bool:
        """Puts the facts about back pain; returns whether an indication could not be used."""
        conditions = patient.conditions.items
        unused: list[NotProcessed] = []
        if any(each.onset is not None for each in conditions):
            asked = self._indications(indications)
            put_back_pain(self.knowledge, conditions, asked, day, problems, values, unused)
            return bool(unused)
        key = (indications, problems.now)
        held = self._purposes.get(key)
        if held is None:
            asked = self._indications(indications)
            facts = _fragment(
                lambda values: put_back_pain(self.knowledge, conditions, asked, day, problems, values, unused)
            )
            held = facts, bool(unused)
            _keep(self._purposes, key, held)
        for slot, value in held[0]:
            values[slot] = value
        return held[1]

    def _indications(self, text: str) -> tuple[Condition, ...]:
        held = self._indicated.get(text)
        if held is None:
            held = indications_of(text)
            _keep(self._indicated, text, held)
        return held

    def allergies(self, line: Line, drug: str, ordered: Resolution) -> Fragment:
        """The facts about allergies, of which no record tells."""
        key = (line.id, drug)
        held = self._allergies.get(key)
        if held is None:
            held = _fragment(lambda values: put_allergies(self.knowledge, NO_ALLERGIES, ordered, line, values))
            _keep(self._allergies, key, held)
        return held


class OnePatient:
    """The facts of one patient as the days go by."""

    def __init__(self, remembered: Remembered, known: Known) -> None:
        self.known = known
        self._remembered = remembered
        self._changes = known.changes()
        self._at = -1
        self._patient = _NOBODY
        self._listing = Listing(NO_PROBLEMS, [], {}, ())

    def facts(self, row: Row, start: int) -> PatientFacts:
        """What `patient_facts` says for an order from day `start`, without why a fact is open and without options."""
        remembered = self._remembered
        day = row["known_on"]
        at = bisect_right(self._changes, day)
        if at != self._at:
            self._at = at
            self._patient = self.known.without_answers(day)
            self._listing = remembered.listing(self._patient, day)
        patient = self._patient
        lasting = remembered.lasting(row["hepatic_grade"], row["falls"], self._listing)
        problems = lasting.problems
        values = lasting.values.copy()
        evidence = lasting.evidence.copy()
        remembered.put_dated(patient, day, start, self._listing, values, evidence)
        for slot, value in remembered.answers(row):
            values[slot] = value
        unused: list[NotProcessed] = []
        not_used = remembered.put_purpose(row["indications"], patient, problems, day, values)
        put_care(remembered.knowledge, patient.care, day, values, unused)
        return PatientFacts(
            values,
            not_processed=_NOT_USED if not_used or unused or lasting.not_processed else (),
            evidence=evidence,
            problems=problems,
            allergies=lasting.allergies,
        )


def _fragment(put: Callable[[list[int]], object]) -> Fragment:
    """What a function puts in a list of facts, of which it reads none."""
    values = [_UNTOUCHED] * WIDTH
    put(values)
    return tuple([(slot, value) for slot, value in enumerate(values) if value != _UNTOUCHED])


def _shape_key(row: Row) -> tuple[Any, ...]:
    """All that an order says by itself, but its dates and indications; of its end how far it is from the start."""
    begin, end = row["known_on"] if row["start"] is None else row["start"], planned_end(row)
    return (
        row["drug"], row["kind"], row["days_supply"], row["quantity"], row["quantity_unit"], row["refills"],
        row["dose_low"], row["dose_high"], row["dose_unit"], row["times_low"], row["times_high"], row["period_hours"],
        row["as_needed"], row["route"], row["treatment_status"], None if end is None else end - begin,
    )  # fmt: skip


def _keep(held: dict[Any, Any], key: object, value: object) -> None:
    if len(held) >= _MOST:
        held.clear()
    held[key] = value


def _history(kept: KeptHistory, rows: PatientRows, i: int, filling: bool) -> History:
    """The history of a record: what it fills, or what fills it, is the same supply."""
    day = rows.medications[i]["known_on"]
    if filling:
        same = frozenset(j for j in range(i) if same_supply(rows.medications[j], rows.medications[i]))
        if same:
            return kept.without(day, same)
    return kept.on(day)


def _relaxants_from(knowledge: Knowledge, history: History, start: int) -> bool:
    """A relaxant of the history may be taken on or after a day."""
    return any(event.may_end > start and event.ingredient in knowledge.lines_of for event in history.events)


def _in_order(rows: PatientRows) -> bool:
    """The records stand as `read_history` would put them, each under an id of its own."""
    before: tuple[int, int, str] | None = None
    ids = set()
    for row in rows.medications:
        known_on, start = row["known_on"], row["start"]
        if known_on is None or not row["record"] or row["status"] == RecordStatus.ENTERED_IN_ERROR:
            return False
        begin = known_on if start is None else start
        here = (known_on, begin, row["record"])
        if not begin or (before is not None and here < before):  # the day 0 sorts there as no day
            return False
        before = here
        ids.add(row["record"])
    return len(ids) == len(rows.medications)
