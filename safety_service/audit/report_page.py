"""report.html: one file that needs nothing else, for people; small numbers are kept out of it by `disclosure`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.charts import Series, bars, columns, lines
from safety_service.audit.disclosure import Counts, Profile, Shown, adding_up, alone
from safety_service.audit.measures import ANY_ALERT, Stored
from safety_service.audit.tables import REASONS
from safety_service.domain import to_date
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
    parts = [_head(audited.manifest), _read(audited.manifest, profile)]
    parts += [_kind(kind, groups, audited, knowledge, profile, prescribers) for kind in groups.kinds]
    if not groups.kinds:
        parts.append("<p>No record of a muscle relaxant was checked.</p>")
    parts.append(_method(audited.manifest, knowledge, profile))
    return _page("\n".join(parts))


def report_counts(stored: Stored) -> pa.Table:
    """Those of the counts that the page is made of: not each rule's by practice, but those compared."""
    counts = stored.where([(ANY_ALERT, None), (None, "all")])
    groups = _Groups(counts)
    compared = sorted({rule for kind in groups.kinds for rule in _most_fired(groups, kind)[:COMPARED]})
    if not compared:
        return counts
    return pa.concat_tables([counts, stored.where([(rule, "practice") for rule in compared])])


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


def _head(manifest: Mapping[str, Any]) -> str:
    return (
        "<header><h1>Audit of muscle relaxant prescribing</h1>"
        "<p>Each record was checked by the rules of the medication safety service, with what was known on its day. "
        "The rules have not been reviewed clinically: the figures support a professional's judgement.</p></header>"
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
    total = alone(groups.total(ANY_ALERT, kind), profile)
    parts = [
        f"<p>{_rate_text(total, profile, name)}</p>",
        _by_month(kind, groups, profile, total),
        _deciles(ANY_ALERT, "any alert", kind, groups, profile),
    ]
    asks = {rule.id: rule.asks for rule in knowledge.rules}
    rules = {rule: groups.total(rule, kind) for rule in groups.rules}
    top = _most_fired(groups, kind)
    parts += [_deciles(rule, rule, kind, groups, profile) for rule in top[:COMPARED]]
    parts.append(_durations(kind, audited.days, knowledge, profile))
    rows = {rule: alone(rules[rule], profile) for rule in top[:MOST_ROWS]}
    parts.append(_top("Rules that fired most", "Rule", rows, profile, asks))
    drugs = _first_and_rest(groups.by(ANY_ALERT, kind, "drug", 0), MOST_ROWS)
    shown = adding_up(drugs, profile, total.known is None)
    parts.append(_top(f"Drugs, by {name} with an alert of MODERATE or above", "Drug", shown, profile))
    parts.append(_options(kind, groups, profile))
    practices = _first_and_rest(groups.by(ANY_ALERT, kind, "practice", 0), MOST_PRACTICES)
    parts.append(_units("Practices", "Practice", practices, profile, total))
    if prescribers:
        parts.append(_units("Prescribers", "Prescriber", groups.by(ANY_ALERT, kind, "prescriber", 0), profile, total))
    return _section(name.capitalize(), "".join(parts))


def _rate_text(total: Shown, profile: Profile, name: str) -> str:
    ratio = _percent(total.ratio)
    return (
        f"<strong>{ratio}</strong> of {name} of a muscle relaxant had an alert of MODERATE or above: "
        f"{_count(total.fired, profile)} of {_count(total.known, profile)} that could be decided; "
        f"{_count(total.open, profile)} more had no alert but could not be decided in full."
    )


def _by_month(kind: str, groups: _Groups, profile: Profile, total: Shown) -> str:
    counts = groups.by(ANY_ALERT, kind, "all", 1)
    named = {_month(month): each for month, each in counts.items()}
    shown = adding_up(named, profile, total.known is None)
    chart = lines(
        "Alert rate by month",
        "Part of records with an alert of MODERATE or above, month by month; the numbers stand in the table.",
        list(shown),
        [Series("rate", [each.ratio for each in shown.values()], "line-main")],
    )
    return _figure("Alert rate by month", chart, _counts_table("Month", shown, profile))


def _deciles(rule: str, named: str, kind: str, groups: _Groups, profile: Profile) -> str:
    """Deciles of the rate across practices; a month with few practices has none."""
    by_month: dict[int, list[float]] = defaultdict(list)
    for (_, month), each in groups.cells(rule, kind, "practice").items():
        by_month[month]
        if each.known >= max(FEWEST_RECORDS, profile.most + 1):
            by_month[month].append(each.fired / each.known)
    months = sorted(by_month)
    title = f"Practices compared, {named}: deciles of the rate"
    enough = {m: sorted(by_month[m]) for m in months if len(by_month[m]) >= FEWEST_PRACTICES}
    if not enough:
        return _figure(
            title,
            "",
            f"<p>Not drawn: no month has {FEWEST_PRACTICES} practices with {max(FEWEST_RECORDS, profile.most + 1)} or "
            "more records that could be decided.</p>",
        )
    points = [10 * i for i in range(1, 10)]
    table = {p: [_percentile(enough[m], p) if m in enough else None for m in months] for p in points}
    series = [Series(f"{p} %", table[p], "line-median" if p == 50 else "line-decile") for p in points]
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
    return _figure(title, chart, _table("Percentiles, to the nearest per cent", head, rows))


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Between the two nearest, to a whole per cent, so that no practice's count is told by it."""
    at = (len(ordered) - 1) * percent / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (at - low), 2)


def _durations(kind: str, days: pa.Table, knowledge: Knowledge, profile: Profile) -> str:
    limit = knowledge.policy_numbers["policy.duration.guideline_days"]
    edges = sorted({*_BINS, limit})
    labels = [f"{low + 1}–{high}" for low, high in zip([0, *edges], edges, strict=False)]
    labels += [f"> {edges[-1]}", "not known"]
    parts = []
    for what, title in (("course_days", "Days of the course ordered"), ("episode_days", "Days of the whole episode")):
        counted = dict.fromkeys(labels, Counts())
        for row in days.filter(pc.equal(days.column("record_kind"), kind)).to_pylist():
            if row["what"] == what:
                at = next((i for i, edge in enumerate(edges) if row["days"] <= edge), len(edges))
                label = labels[-1] if row["days"] < 0 else labels[at]
                counted[label] += Counts(row["records"])
        shown = adding_up(counted, profile)
        chart = columns(
            title,
            f"Records by days, with a line after {limit} days; the numbers stand in the table.",
            labels,
            [shown[label].fired for label in labels],
            profile.mark,
            (edges.index(limit) + 1, f"{limit} days"),
        )
        rows = [(label, _count(shown[label].fired, profile)) for label in labels]
        parts.append(_figure(title, chart, _table(title, ("Days", "Records"), rows)))
    return "".join(parts)


def _top(
    title: str, label: str, shown: Mapping[str, Shown], profile: Profile, asks: Mapping[str, str] | None = None
) -> str:
    rows = [(name, [(each.fired, "bar")]) for name, each in shown.items()]
    chart = bars(title, "A bar for each, as long as its number; the numbers stand in the table.", rows, profile.mark)
    return _figure(title, chart if rows else "", _counts_table(label, shown, profile, asks))


def _options(kind: str, groups: _Groups, profile: Profile) -> str:
    total = groups.total(_FIRST_LINE, kind)
    shown = alone(total, profile)
    passed = None if shown.known is None or shown.fired is None else shown.known - shown.fired
    title = "Non-drug options first: documented or not"
    parts = [(passed, "bar-yes"), (shown.fired, "bar-no"), (shown.open, "bar-open")]
    said = ("documented", "not documented", "not known")
    rows = [(word, [part]) for word, part in zip(said, parts, strict=True)]
    chart = bars(title, "Records for back pain by what is documented of a first-line option.", rows, profile.mark)
    table = [(word, _count(part, profile)) for word, (part, _) in zip(said, parts, strict=True)]
    return _figure(title, chart, _table(f"Rule {_FIRST_LINE}", ("A first-line, non-drug option is", "Records"), table))


def _units(title: str, label: str, counts: Mapping[str, Counts], profile: Profile, total: Shown) -> str:
    shown = adding_up({name or "not named": each for name, each in counts.items()}, profile, total.known is None)
    return f"<h3>{escape(title)}</h3>" + _counts_table(label, shown, profile)


def _first_and_rest(counts: Mapping[str, Counts], most: int) -> dict[str, Counts]:
    """The largest, and all the others as one row."""
    ordered = sorted(counts, key=lambda name: (-counts[name].fired, -counts[name].known, name))
    found = {name: counts[name] for name in ordered[:most]}
    if len(ordered) > most:
        rest = Counts()
        for name in ordered[most:]:
            rest += counts[name]
        found["all others"] = rest
    return found


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
        "records that were known on its day and none after. The denominator of a rate is the records on which the rule "
        "could be decided; those on which it could not stand beside it. Roll-ups are sums of records.</p>"
        f"<p>Small numbers, profile <em>{escape(profile.name)}</em>: {escape(profile.says)}. Rates are worked out "
        "from the numbers shown. Percentiles of practices are to the nearest per cent, from months with at least "
        f"{FEWEST_PRACTICES} practices.</p>"
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


def _counts_table(
    label: str, shown: Mapping[str, Shown], profile: Profile, asks: Mapping[str, str] | None = None
) -> str:
    head = [label, *(["It asks"] if asks else []), "With alert", "Decided", "Rate", "Not evaluable"]
    rows = []
    for name, each in shown.items():
        numbers = (_count(each.fired, profile), _count(each.known, profile), _percent(each.ratio))
        rows.append((name, *([asks.get(name, "")] if asks else []), *numbers, _count(each.open, profile)))
    return _table(f"By {label.lower()}", head, rows)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _figure(title: str, chart: str, table: str) -> str:
    folded = f"<details><summary>The numbers as a table</summary>{table}</details>" if chart else table
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}{folded}</figure>"


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
    return said[:1].isdigit() or said in ("–", "hidden")


_STYLE = """
:root { color: #1b1b1b; background: #fff; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-top: 2px solid #1f4e79; padding-top: .6rem; margin-top: 2.4rem; color: #1f4e79; }
figure { margin: 1.6rem 0; break-inside: avoid; } figcaption { font-weight: 600; margin-bottom: .3rem; }
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
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; } summary { display: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  tr, figure svg { break-inside: avoid; } thead { display: table-header-group; }
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
