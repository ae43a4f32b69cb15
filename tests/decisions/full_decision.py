"""A decision with something in every place that its digest covers."""

from safety_service.domain import (
    Alert,
    AlertWords,
    Answer,
    CarePathway,
    Check,
    CheckStatus,
    Citation,
    Decision,
    FactUsed,
    Implicated,
    MatchedBy,
    Missing,
    NormalizedOrder,
    NotProcessed,
    Overall,
    PriorOverride,
    ResolvedIngredient,
    ResolvedMedication,
    Role,
    RuleKind,
    Severity,
    Suggestion,
    Threshold,
)


def decision() -> Decision:
    """Made up."""
    citation = Citation(
        "label", "Label", "FDA", "5.1", "2026", "https://example.org", "label", "caution", "stated", "page"
    )
    facts = (FactUsed("course_days", "28", "d"),)
    words = AlertWords(
        "duration.course",
        1,
        RuleKind.DURATION,
        Severity.HIGH,
        "line",
        "t",
        "m",
        "a",
        "c",
        facts,
        (Threshold("course_days", ">", "21", "d"),),
        (citation,),
        (Suggestion("refills", "1", "0", "", "s"),),
        ("PN",),
        (),
    )
    need = Missing("falls", "patient.falls", "not sent")
    product = words._replace(rule_id="product.route", kind=RuleKind.PRODUCT)
    implicated = (Implicated(Role.TRIGGER, "r001", "x"), Implicated(Role.CO_AGENT, "r000", "y"))
    overridden = PriorOverride("f" * 32)
    alerts = (
        Alert(
            words, "f" * 32, (facts[0]._replace(evidence=("r000", "r002")),), (need,), implicated, ("heat",), 1, True
        ),
        Alert(product, "e" * 32, facts, (), implicated[:1], (), 1, False, overridden),
    )
    checks = (
        Check("duration.course", 1, "line", CheckStatus.FIRED),
        Check("sedation.falls", 2, "line", CheckStatus.NOT_EVALUATED, "", (need,)),
    )
    kept_back = Check("pathway.first-line", 1, "line", CheckStatus.SUPPRESSED, "off", (), Severity.LOW)
    resolved = ResolvedMedication(
        "r001",
        "sent",
        MatchedBy.RXNORM_PRODUCT,
        "828348",
        (ResolvedIngredient("cyclobenzaprine", 10_000),),
        "tablet",
        ("line",),
        "other",
    )
    return Decision(
        Overall.ALERTS,
        Severity.HIGH,
        False,
        20_000,
        alerts,
        checks,
        (kept_back,),
        (resolved,),
        (NotProcessed("patient.labs", "no"),),
        NormalizedOrder(10, None, 30, 30, 20_000, 14, 14, "sent", 1, 28, 28, Answer.YES),
        CarePathway("chronic", 1, (), "note"),
        ("heat",),
        "1",
        "k",
        "default",
        "p",
        "0.1.0",
    )
