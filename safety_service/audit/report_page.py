"""report.html: one file that needs nothing else, for people; small numbers are kept out of it by `disclosure`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.charts import Series, bars, columns, lines
from safety_service.audit.disclosure import Counts, Profile, Shown, adding_up, alone, settled
from safety_service.audit.measures import ANY_ALERT, Stored
from safety_service.audit.tables import REASONS
from safety_service.domain import Severity, to_date
from safety_service.knowledge.knowledge import Knowledge

LAW = ("header", "blank", "rejected", "duplicate", "not_relevant", "audited")
MOST_ROWS = 20  # of drugs and rules
MOST_PRACTICES = 100
FEWEST_PRACTICES = 10  # that a decile is drawn for
FEWEST_RECORDS = 11  # that a practice counts with in a month
COMPARED = 2  # rules that practices are compared by, beside any alert
_BINS = (7, 14, 21, 28, 42, 60, 90)  # last day of each
_FIRST_LINE = "pathway.first-line"
_KIND = {"order": "orders", "dispensing": "dispensings"}


@dataclass(frozen=True, slots=True)
class Audited:
    """What a report is made of: counts by rule and unit (`measures.COUNTS`), days, and the manifest so far."""

    counts: pa.Table
    days: pa.Table
    manifest: Mapping[str, Any]


def report_page(audited: Audited, knowledge: Knowledge, profile: Profile, prescribers: bool = False) -> str:
    """The whole page. `prescribers`: with a table of them, which names persons and is no part of it otherwise."""
    groups = _Groups(audited.counts)
    parts = [_head(groups, audited, knowledge, profile)]
    parts += [_kind(kind, groups, audited, knowledge, profile, prescribers) for kind in groups.kinds]
    parts += [_read(audited.manifest, profile), _method(audited.manifest, knowledge, profile)]
    return _page("\n".join(parts))


def report_counts(stored: Stored, knowledge: Knowledge) -> pa.Table:
    """Those of the counts that the page is made of: not each rule's by practice, but those compared."""
    counts = stored.where([(ANY_ALERT, None), (None, "all")])
    groups = _Groups(counts)
    compared = sorted({rule for kind in groups.kinds for rule in _compared(groups, kind, knowledge)})
    if not compared:
        return counts
    return pa.concat_tables([counts, stored.where([(rule, "practice") for rule in compared])])


def _compared(groups: _Groups, kind: str, knowledge: Knowledge) -> list[str]:
    """The rules that practices are compared by: of those that fired most, the first that are more than information."""
    highest = _severities(knowledge)
    rules = [rule for rule in _most_fired(groups, kind) if highest.get(rule, Severity.HIGH) >= Severity.MODERATE]
    return rules[:COMPARED]


def _severities(knowledge: Knowledge) -> dict[str, Severity]:
    """The highest severity that each rule has on any drug."""
    programs = [program for line in knowledge.lines.values() for program in (line.program, line.pair_program)]
    found: dict[str, Severity] = {}
    for live in (live for program in (*programs, knowledge.any_order) for live in program.rules):
        of_clauses = [clause.severity for clause in live.clauses]
        found[live.rule.id] = max([*of_clauses, found.get(live.rule.id, Severity.UNSPECIFIED)])
    return found


def _most_fired(groups: _Groups, kind: str) -> list[str]:
    rules = {rule: groups.total(rule, kind).fired for rule in groups.rules}
    return sorted((rule for rule, fired in rules.items() if fired), key=lambda rule: (-rules[rule], rule))


class _Groups:
    """Counts by (rule, kind, level), unit and month."""

    def __init__(self, counts: pa.Table) -> None:
        wanted = pc.or_(pc.equal(counts.column("rule_id"), ANY_ALERT), pc.equal(counts.column("level"), "all"))
        wanted = pc.or_(wanted, pc.equal(counts.column("level"), "practice"))
        self._found: dict[tuple[str, str, str], dict[tuple[str, int], Counts]] = defaultdict(dict)
        rows = counts.filter(wanted)
        columns = (rows.column(name).to_pylist() for name in rows.column_names)
        for rule, kind, level, unit, month, answer, number in zip(*columns, strict=True):
            of = self._found[rule, kind, level]
            had = of.get((unit, month), Counts())
            of[unit, month] = had + Counts(**{_FIELD[answer]: number})
        self.kinds = sorted({kind for rule, kind, _ in self._found if rule == ANY_ALERT})
        self.rules = sorted({rule for rule, _, _ in self._found if rule != ANY_ALERT})

    def by(self, rule: str, kind: str, level: str, what: int) -> dict[Any, Counts]:
        """Sums by unit (`what` 0) or month (1)."""
        found: dict[Any, Counts] = {}
        for key, each in self._found.get((rule, kind, level), {}).items():
            found[key[what]] = found.get(key[what], Counts()) + each
        return dict(sorted(found.items()))

    def total(self, rule: str, kind: str) -> Counts:
        return self.by(rule, kind, "all", 0).get("", Counts())

    def cells(self, rule: str, kind: str, level: str) -> Mapping[tuple[str, int], Counts]:
        return self._found.get((rule, kind, level), {})


_FIELD = {"fired": "fired", "passed": "passed", "not_evaluable": "open"}


# --- parts of the page -------------------------------------------------------------------------------------------


def _head(groups: _Groups, audited: Audited, knowledge: Knowledge, profile: Profile) -> str:
    totals = {kind: groups.total(ANY_ALERT, kind) for kind in groups.kinds}
    said = [_rate_text(_whole(each, alone(each, profile), profile), profile, kind) for kind, each in totals.items()]
    told = (_beyond_text(what, kind, audited.days, knowledge, profile) for kind in groups.kinds for what in _DAYS)
    said += [text for text in told if text]
    law = audited.manifest["conservation"]
    lines_read = adding_up({name: Counts(law[name]) for name in LAW}, profile)
    physical = alone(Counts(law["physical"]), profile).fired
    balance = "every line is accounted for" if law["balances"] else "the account does not balance"
    said.append(
        f"<strong>{_count(lines_read['audited'].fired, profile)}</strong> of {_count(physical, profile)} lines of the "
        f"files were used, {_count(lines_read['rejected'].fired, profile)} rejected; {balance}."
    )
    none = "" if groups.kinds else "<p>No record of a muscle relaxant was checked.</p>"
    return (
        "<header><h1>Audit of muscle relaxant prescribing</h1>"
        f"{none}<ul class=short>{''.join(f'<li>{each}</li>' for each in said)}</ul>"
        "<p>Each record was checked by the rules of the medication safety service, with what was known on its day. "
        "The rules have not been reviewed clinically: the figures support a professional's judgement. "
        f"Small numbers: {escape(profile.says)}; <em>{escape(profile.mark)}</em> stands for a hidden one.</p></header>"
    )


def _read(manifest: Mapping[str, Any], profile: Profile) -> str:
    law = manifest["conservation"]
    shown = adding_up({name: Counts(law[name]) for name in LAW}, profile)
    rows = [("Physical lines", _count(alone(Counts(law["physical"]), profile).fired, profile))]
    rows += [(name.replace("_", " ").capitalize(), _count(shown[name].fired, profile)) for name in LAW]
    reasons = adding_up(
        {name: Counts(number) for name, number in manifest["rejected"].items()},
        profile,
        total_hidden=shown["rejected"].fired is None,
    )
    rejected = [(name, REASONS.get(name, ""), _count(each.fired, profile)) for name, each in reasons.items()]
    files = [
        (
            each["name"],
            each["form"],
            each["table"] or ", ".join(sorted(each["kept"])),
            ", ".join(each["unused_columns"]),
        )
        for each in manifest["inputs"]
    ]
    complete = [(name, level) for name, level in manifest["complete"].items()]
    said = "balances: every line is accounted for" if law["balances"] else "does not balance"
    return _section(
        "What was read, and what was not",
        f"<p>The account {said}.</p>"
        + _table("Lines of all files", ("Lines", "Number"), rows)
        + _table("Rejected lines", ("Reason", "Meaning", "Lines"), rejected)
        + _table("Files", ("File", "Form", "Table", "Columns not used"), files)
        + _table("How complete each table is held to be", ("Table", "Held to be"), complete)
        + "<p>What depends on a table that is not complete is counted as not evaluable, never as passed.</p>",
    )


def _kind(
    kind: str, groups: _Groups, audited: Audited, knowledge: Knowledge, profile: Profile, prescribers: bool
) -> str:
    name = _KIND.get(kind, kind)
    counts = groups.total(ANY_ALERT, kind)
    total = alone(counts, profile)
    drugs = _first_and_rest(groups.by(ANY_ALERT, kind, "drug", 0), MOST_ROWS)
    practices = _first_and_rest(groups.by(ANY_ALERT, kind, "practice", 0), MOST_PRACTICES)
    of_prescribers = groups.by(ANY_ALERT, kind, "prescriber", 0) if prescribers else {}
    tables = {"drug": drugs, "practice": practices, "prescriber": of_prescribers}
    limit = knowledge.policy_numbers["policy.duration.guideline_days"]
    of_days = {what: _binned(what, kind, audited.days, limit) for what in _DAYS}
    months = groups.by(ANY_ALERT, kind, "all", 1)
    left_out = _left_out_tables({**tables, "month": months}, of_days, counts, profile)

    def listed(table: str, title: str, part: str) -> str:
        return _figure(title, "", _NOT_LISTED) if table in left_out else part

    parts = [
        f"<p>{_rate_text(_whole(counts, total, profile), profile, kind)}</p>",
        listed("month", "Alert rate by month", _by_month(kind, groups, profile, total)),
        _deciles(ANY_ALERT, "any alert of MODERATE or above", kind, groups, profile),
    ]
    asks = {rule.id: rule.asks for rule in knowledge.rules}
    rules = {rule: groups.total(rule, kind) for rule in groups.rules}
    parts += [_deciles(rule, rule, kind, groups, profile) for rule in _compared(groups, kind, knowledge)]
    durations = _durations(kind, audited.days, knowledge, profile)
    parts += [listed(what, f"Days of {_DAYS[what]}", part) for what, part in durations.items()]
    rows = {rule: alone(rules[rule], profile) for rule in _most_fired(groups, kind)[:MOST_ROWS]}
    highest = {rule: severity.name.lower() for rule, severity in _severities(knowledge).items()}
    words = [f"{rule} ({highest.get(rule, '-')})" for rule in rows]
    told = {rule: (highest.get(rule, ""), asks.get(rule, "")) for rule in rows}
    parts.append(_top("Rules that fired most", rows, words, profile, _rules_table(rows, told, profile)))
    shown = adding_up(drugs, profile, total.known is None)
    title = f"Drugs, by {name} with an alert of MODERATE or above"
    drawn = _top(title, shown, list(shown), profile, _whole_table("Drug", drugs, shown, profile))
    parts.append(listed("drug", title, drawn))
    parts.append(_options(kind, groups, profile))
    if prescribers and profile.rounding == 1:
        # who works where is no secret: exact numbers of a practice less those of its others would tell a hidden one
        parts.append("<p>Practices are not listed beside prescribers under a profile that does not round.</p>")
    else:
        parts.append(listed("practice", "Practices", _units("Practices", "Practice", practices, profile, total)))
    if prescribers:
        drawn = _units("Prescribers", "Prescriber", of_prescribers, profile, total)
        parts.append(listed("prescriber", "Prescribers", drawn))
    return _section(name.capitalize(), "".join(parts))


_NOT_LISTED = "<p>Not listed: with the totals of this page a hidden number would follow from it.</p>"


def _left_out_tables(
    tables: Mapping[str, Mapping[Any, Counts]],
    days: Mapping[str, Mapping[str, Counts]],
    total: Counts,
    profile: Profile,
) -> set[str]:
    """Those in which rounded numbers would settle a small one, by the total that they all have."""
    if profile.rounding == 1:
        return set()  # `adding_up` hides more rows
    columns = (*Whole._fields, "passed")
    shown: dict[tuple[str, Any, str], int | None] = {}
    sums: list[tuple[tuple[str, Any, str], list[tuple[str, Any, str]]]] = []
    for table, rows in {**tables, "": {"": total}}.items():
        for row, counts in rows.items():
            whole = _whole(counts, alone(counts, profile), profile)
            shown |= {(table, row, column): each for column, each in zip(Whole._fields, whole, strict=True)}
            sums.append(((table, row, "records"), [(table, row, each) for each in columns if each != "records"]))
        if table and rows:
            sums += [(("", "", column), [(table, row, column) for row in rows]) for column in columns]
    for what, bins in days.items():
        shown |= {(what, row, "records"): alone(each, profile).fired for row, each in bins.items()}
        sums.append((("", "", "records"), [(what, row, "records") for row in bins]))
    found = {table for table, _, _ in settled(shown, sums, profile)}
    return {*tables, *days} if "" in found else found


class Whole(NamedTuple):
    """Records with an alert of MODERATE or above, all, and those with none on which not every rule was decided."""

    fired: int | None
    records: int | None
    open: int | None

    @property
    def ratio(self) -> float | None:
        """An alert stands whatever else could not be checked: of all records."""
        return self.fired / self.records if self.fired is not None and self.records else None


def _whole(counts: Counts, shown: Shown, profile: Profile) -> Whole:
    """All records are rounded by themselves, or are what is shown of them added up."""
    if profile.rounding > 1:
        return Whole(shown.fired, alone(Counts(sum(counts)), profile).fired, shown.open)
    return Whole(shown.fired, None if shown.known is None else shown.known + (shown.open or 0), shown.open)


def _rate_text(total: Whole, profile: Profile, kind: str) -> str:
    return (
        f"<strong>{_percent(total.ratio)}</strong> of {_KIND.get(kind, kind)} of a muscle relaxant had an alert of "
        f"MODERATE or above: {_count(total.fired, profile)} of {_count(total.records, profile)}. "
        f"{_count(total.open, profile)} had none, but not every rule could be decided on them."
    )


def _beyond_text(what: str, kind: str, days: pa.Table, knowledge: Knowledge, profile: Profile) -> str:
    """How many records go beyond the limit, of those whose days are known; "" where that would tell a small number.

    Hidden bins count with what they hold: each sum is of all records and is rounded by itself.
    """
    limit = knowledge.policy_numbers["policy.duration.guideline_days"]
    counted = _binned(what, kind, days, limit)
    shown = {label: each.fired for label, each in adding_up(counted, profile).items()}
    known = [label for label in counted if label != _UNKNOWN_DAYS]
    past = known[_edges(limit).index(limit) + 1 :]
    n_over, n_whole, n_all = (sum(counted[label].fired for label in each) for each in (past, known, counted))
    over, whole, every = (alone(Counts(n), profile).fired for n in (n_over, n_whole, n_all))
    if over is None or not whole or profile.small(n_whole - n_over):
        return ""
    if profile.rounding == 1 and None in (shown[label] for label in known):
        return ""
    sums = [("over", past), ("whole", ["over", *known[: -len(past)]]), ("all", ["whole", _UNKNOWN_DAYS])]
    if profile.rounding > 1 and settled({**shown, "over": over, "whole": whole, "all": every}, sums, profile):
        return ""
    return (
        f"<strong>{_percent(over / whole)}</strong> of {_BEYOND[what].format(kind=_KIND.get(kind, kind))} longer than "
        f"{limit} days: {over:,} of {whole:,} whose days are known. Those for spasticity, which this limit does not "
        "bind, are included."
    )


def _by_month(kind: str, groups: _Groups, profile: Profile, total: Shown) -> str:
    counts = groups.by(ANY_ALERT, kind, "all", 1)
    named = {_month(month): each for month, each in counts.items()}
    shown = adding_up(named, profile, total.known is None)
    chart = lines(
        "Alert rate by month",
        "Part of records with an alert of MODERATE or above, month by month; the numbers stand in the table.",
        list(shown),
        [Series("", [_whole(named[month], each, profile).ratio for month, each in shown.items()], "line-main")],
    )
    return _figure("Alert rate by month", chart, _whole_table("Month", named, shown, profile))


def _deciles(rule: str, named: str, kind: str, groups: _Groups, profile: Profile) -> str:
    """Deciles, across practices, of rates made of what may be shown; a month with few practices has none.

    A percentile can be the rate of one practice: no rate is made of a number that is hidden.
    """
    by_month: dict[int, list[float]] = defaultdict(list)
    least = max(FEWEST_RECORDS, profile.most + 1)
    for (_, month), each in groups.cells(rule, kind, "practice").items():
        by_month[month]
        rate = _shown_rate(rule, each, profile, least)
        if rate is not None:
            by_month[month].append(rate)
    title = f"Practices compared, {named}: deciles of the rate"
    enough = {m: sorted(rates) for m, rates in by_month.items() if len(rates) >= FEWEST_PRACTICES}
    months = [m for m in sorted(by_month) if min(enough, default=m) <= m <= max(enough, default=m)]
    left_out = _left_out(profile)
    if not enough:
        records = "records" if rule == ANY_ALERT else "records on which the rule could be decided"
        return _figure(
            title,
            "",
            f"<p>Not drawn: no month has {FEWEST_PRACTICES} practices with {least} or more {records}. {left_out}</p>",
        )
    points = [10 * i for i in range(1, 10)]
    table = {p: [_percentile(enough[m], p) if m in enough else None for m in months] for p in points}
    names = {10: "10 %", 50: "median", 90: "90 %"}
    series = [Series(names.get(p, ""), table[p], "line-median" if p == 50 else "line-decile") for p in points]
    chart = lines(
        title,
        "Nine lines, the 10th to the 90th percentile of practices in each month; the thick one is the median.",
        [_month(m) for m in months],
        series,
    )
    head = ("Month", "Practices", *(f"{p} %" for p in points))
    rows = [
        (_month(m), str(len(enough[m])), *(_percent(table[p][i]) for p in points))
        for i, m in enumerate(months)
        if m in enough
    ]
    return _figure(title, f"<p>{left_out}</p>{chart}", _table("Percentiles, to the nearest per cent", head, rows))


def _shown_rate(rule: str, counts: Counts, profile: Profile, least: int) -> float | None:
    """From the numbers that may be shown, None where it is hidden or of fewer than `least`."""
    shown = alone(counts, profile)
    of = _whole(counts, shown, profile).records if rule == ANY_ALERT else shown.known
    if of is None or of < least or (shown.fired is None and profile.rounding == 1):
        return None
    # without practices of few alerts, which rounding makes all alike, the others would look like all
    return (profile.middle if shown.fired is None else shown.fired) / of


def _left_out(profile: Profile) -> str:
    if profile.rounding > 1:
        return f"Rates are of rounded numbers; a hidden number of alerts counts as {profile.middle:g}."
    return "Practices of which a number is hidden in a month are left out of it: the deciles are of the others."


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Between the two nearest, to a whole per cent; it may be the rate of one practice."""
    at = (len(ordered) - 1) * percent / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (at - low), 2)


def _durations(kind: str, days: pa.Table, knowledge: Knowledge, profile: Profile) -> dict[str, str]:
    limit = knowledge.policy_numbers["policy.duration.guideline_days"]
    parts = {}
    beyond = _edges(limit).index(limit) + 1
    for what, named in _DAYS.items():
        title = f"Days of {named}"
        counted = _binned(what, kind, days, limit)
        labels = list(counted)
        shown = adding_up(counted, profile)
        chart = columns(
            title,
            f"Records by days, with a line after {limit} days; the numbers stand in the table.",
            labels,
            [shown[label].fired for label in labels],
            [*("bar" if i < beyond else "bar-no" for i in range(len(labels) - 1)), "bar-open"],
            profile.mark,
            (beyond, f"{limit} days"),
        )
        rows = [(label, _count(shown[label].fired, profile)) for label in labels]
        text = _beyond_text(what, kind, days, knowledge, profile)
        drawn = f"<p>{text}</p>{chart}" if text else chart
        parts[what] = _figure(title, drawn, _table(title, ("Days", "Records"), rows))
    return parts


_DAYS = {"course_days": "courses", "episode_days": "episodes"}
_BEYOND = {
    "course_days": "courses of {kind} are",
    "episode_days": "{kind} stand in an episode that is then",  # each record by its episode up to then
}
_UNKNOWN_DAYS = "not known"


def _edges(limit: int) -> list[int]:
    return sorted({*_BINS, limit})


def _binned(what: str, kind: str, days: pa.Table, limit: int) -> dict[str, Counts]:
    edges = _edges(limit)
    labels = [f"{low + 1}–{high}" for low, high in zip([0, *edges], edges, strict=False)]
    labels += [f"> {edges[-1]}", _UNKNOWN_DAYS]
    counted = dict.fromkeys(labels, Counts())
    for row in days.filter(pc.equal(days.column("record_kind"), kind)).to_pylist():
        if row["what"] == what:
            at = next((i for i, edge in enumerate(edges) if row["days"] <= edge), len(edges))
            counted[_UNKNOWN_DAYS if row["days"] < 0 else labels[at]] += Counts(row["records"])
    return counted


def _top(title: str, shown: Mapping[str, Shown], words: Sequence[str], profile: Profile, table: str) -> str:
    """Bars of how many fired; `words` stand beside them."""
    rows = [(word, [(each.fired, "bar")]) for word, each in zip(words, shown.values(), strict=True)]
    chart = bars(title, "A bar for each, as long as its number; the numbers stand in the table.", rows, profile.mark)
    return _figure(title, chart if rows else "", table)


def _options(kind: str, groups: _Groups, profile: Profile) -> str:
    total = groups.total(_FIRST_LINE, kind)
    shown = alone(total, profile)
    passed = None
    if shown.known is not None and shown.fired is not None:
        passed = alone(Counts(total.passed), profile).fired  # a difference of two rounded numbers could be a small one
    title = "Non-drug options first: documented or not"
    parts = [(passed, "bar-yes"), (shown.fired, "bar-no"), (shown.open, "bar-open")]
    said = ("documented", "not documented", "not known")
    rows = [(word, [part]) for word, part in zip(said, parts, strict=True)]
    chart = bars(title, "Records for back pain by what is documented of a first-line option.", rows, profile.mark)
    table = [(word, _count(part, profile)) for word, (part, _) in zip(said, parts, strict=True)]
    return _figure(title, chart, _table(f"Rule {_FIRST_LINE}", ("A first-line, non-drug option is", "Records"), table))


def _units(title: str, label: str, counts: Mapping[str, Counts], profile: Profile, total: Shown) -> str:
    none = _free("not named", counts)
    named = {name or none: each for name, each in counts.items()}
    shown = adding_up(named, profile, total.known is None)
    return f"<h3>{escape(title)}</h3>" + _whole_table(label, named, shown, profile)


def _first_and_rest(counts: Mapping[str, Counts], most: int) -> dict[str, Counts]:
    """The largest, and all the others as one row."""
    ordered = sorted(counts, key=lambda name: (-counts[name].fired, -counts[name].known, name))
    found = {name: counts[name] for name in ordered[:most]}
    if len(ordered) > most:
        rest = Counts()
        for name in ordered[most:]:
            rest += counts[name]
        found[_free("all others", counts)] = rest
    return found


def _free(label: str, taken: Container[str]) -> str:
    """The label, in brackets where a practice, prescriber or drug is really called so."""
    while label in taken:
        label = f"[{label}]"
    return label


def _method(manifest: Mapping[str, Any], knowledge: Knowledge, profile: Profile) -> str:
    named = [
        ("Service", manifest["service_version"]),
        ("Knowledge", f"{manifest['knowledge_version']} · {manifest['knowledge_digest']}"),
        ("Policy", f"{manifest['policy_id']} · {manifest['policy_digest']}"),
        ("Code", manifest["kernel_digest"]),
    ]
    inputs = [(each["name"], each["digest"]) for each in manifest["inputs"]]
    sources = [(each.title, each.publisher, each.date, each.url) for each in knowledge.sources.values()]
    return _section(
        "Method and sources",
        "<p>Each order and dispensing was checked by itself, by the same rules as the service answers online, with the "
        "records that were known on its day and none after. The rate of a rule is of the records on which it could be "
        "decided; those on which it could not stand beside it. The rate of any alert is of all records, since an alert "
        "stands whatever else could not be decided. Roll-ups are sums of records.</p>"
        f"<p>Small numbers, profile <em>{escape(profile.name)}</em>: {escape(profile.says)}. Rates are worked out "
        "from the numbers shown. Percentiles of practices are to the nearest per cent, from months with at least "
        f"{FEWEST_PRACTICES} practices. {_left_out(profile)}</p>"
        + _table("Made with", ("What", "Version and digest"), named)
        + _table("Input files", ("File", "SHA-256"), inputs)
        + _table("Sources of the rules", ("Title", "Publisher", "Date", "Address"), sources),
    )


# --- forms -------------------------------------------------------------------------------------------------------


def _month(day: int) -> str:
    return to_date(day).strftime("%Y-%m")


def _count(number: int | None, profile: Profile) -> str:
    return profile.mark if number is None else f"{number:,}"


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.0f} %"


def _rules_table(shown: Mapping[str, Shown], told: Mapping[str, tuple[str, str]], profile: Profile) -> str:
    head = ["Rule", "Highest severity", "It asks", "Fired", "Decided", "Rate", "Not evaluable"]
    rows = [
        (
            rule,
            *told[rule],
            _count(each.fired, profile),
            _count(each.known, profile),
            _percent(each.ratio),
            _count(each.open, profile),
        )
        for rule, each in shown.items()
    ]
    return _table("By rule", head, rows)


def _whole_table(label: str, counts: Mapping[str, Counts], shown: Mapping[str, Shown], profile: Profile) -> str:
    """Records with an alert of MODERATE or above, of all."""
    head = [label, "With alert", "Records", "Rate", "No alert, not all decided"]
    rows = []
    for name, each in shown.items():
        whole = _whole(counts[name], each, profile)
        numbers = (_count(whole.fired, profile), _count(whole.records, profile), _percent(whole.ratio))
        rows.append((name, *numbers, _count(whole.open, profile)))
    return _table(f"By {label.lower()}", head, rows)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _figure(title: str, chart: str, table: str) -> str:
    folded = f"<details><summary>The numbers as a table</summary>{table}</details>" if chart else table
    label = escape(title, quote=True)
    drawn = f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{chart}</div>' if chart else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}{folded}</figure>"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = []
    for first, *others in rows:
        cells = "".join(f"<td{' class=number' if _is_number(each) else ''}>{escape(each)}</td>" for each in others)
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    if not body:
        return f"<p>{escape(caption)}: none.</p>"
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _is_number(said: str) -> bool:
    return _NUMBER.fullmatch(said) is not None


_NUMBER = re.compile(r"\d{1,3}(,\d{3})*( %)?|\d+–\d+|–|hidden")  # no digest that begins with a digit


_STYLE = """
:root { color: #1b1b1b; background: #fff; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-top: 2px solid #1f4e79; padding-top: .6rem; margin-top: 2.4rem; color: #1f4e79; }
.short li { margin: .3rem 0; }
figure { margin: 1.6rem 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
.chart { width: 100%; height: auto; font-size: 12px; fill: #1b1b1b; }
.grid { stroke: #d0d0d0; } .axis { stroke: #1b1b1b; }
.line-main { fill: none; stroke: #1f4e79; stroke-width: 2.5; }
.line-median { fill: none; stroke: #a33b00; stroke-width: 3; }
.line-decile { fill: none; stroke: #1f4e79; stroke-width: 1.2; stroke-dasharray: 4 3; } .dot { fill: #1f4e79; }
.bar, .bar-yes { fill: #1f4e79; } .bar-no { fill: #a33b00; } .bar-open { fill: #6b6b6b; }
.limit { stroke: #a33b00; stroke-width: 2; stroke-dasharray: 6 4; } .limit-word { fill: #a33b00; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
caption { text-align: left; font-weight: 600; } th, td { border-bottom: 1px solid #d0d0d0; padding: .2rem .6rem; }
th { text-align: left; vertical-align: top; } td { overflow-wrap: anywhere; } .number { text-align: right; }
thead th { border-bottom: 2px solid #1f4e79; } summary { cursor: pointer; color: #1f4e79; text-decoration: underline; }
:focus-visible { outline: 3px solid #a33b00; outline-offset: 2px; }
@media (max-width: 44rem) { .chart { min-width: 40rem; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; } summary { display: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  tr, figure svg { break-inside: avoid; } h2, h3, figcaption, caption, figure svg { break-after: avoid; }
  thead { display: table-header-group; }
}
"""


def _page(body: str) -> str:
    # The page may load nothing: the policy says so to the browser as well.
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<title>Audit of muscle relaxant prescribing</title>"
        f"<style>{_STYLE}</style></head>\n<body><main>{body}</main></body></html>\n"
    )
