"""The sig as text beside the structure: the engine reads it, and the gateway passes on all that it says of it."""

from typing import Any

from tests.gateway.calls import call, decision_of, order, rules_of

STRUCTURED = order(dispenseRequest={"expectedSupplyDuration": {"value": 28, "code": "d"}})


def written(text: str, **instruction: Any) -> dict[str, Any]:
    return order(dosageInstruction=[{"text": text, **instruction}], dispenseRequest=None)


def notes(answer: dict[str, Any]) -> str:
    return " ".join(decision_of(answer)["normalizedOrder"].get("notes", ()))


def test_a_sig_alone_gives_the_alerts_of_the_structure(answered: Any) -> None:
    answer = answered(call(written("Take 1 tablet by mouth 3 times a day for 28 days")))
    assert rules_of(answer) == rules_of(answered(call(STRUCTURED)))
    assert "duration.course" in rules_of(answer)
    assert "read from the sig text" in notes(answer)


def test_another_language_is_not_read(answered: Any) -> None:
    answer = answered(call(written("tome una tableta por 28 días")))
    assert "duration.course" not in rules_of(answer)
    assert "not used" in notes(answer)


def test_text_and_structure_that_disagree_are_said_in_a_card(answered: Any) -> None:
    sent = order()
    sent["dosageInstruction"][0]["text"] = "1 tablet twice a day"
    answer = answered(call(sent))
    (conflict,) = decision_of(answer)["conflicts"]
    assert "dosage_text" in conflict
    last = answer["cards"][-1]["detail"]
    assert "In conflict:" in last
    assert "text says" in last
    sent["dosageInstruction"][0]["text"] = "1 tablet three times a day"
    assert "conflicts" not in decision_of(answered(call(sent)))
