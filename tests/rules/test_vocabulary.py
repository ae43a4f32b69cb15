"""The layout that facts, rules and generated code share."""

from safety_service.rules.vocabulary import (
    EITHER,
    FACTS,
    HIGHEST,
    LIMITS,
    LOWEST,
    NO,
    SLOTS,
    WIDTH,
    YES,
    Type,
    Unit,
    unknown_facts,
)


def test_slots_touch_and_never_overlap() -> None:
    taken = [
        slot
        for name, fact in FACTS.items()
        for slot in range(SLOTS[name], SLOTS[name] + (2 if fact.type is Type.NUMBER else 1))
    ]
    assert taken == list(range(WIDTH))
    assert len(unknown_facts()) == WIDTH


def test_nothing_known_is_every_value() -> None:
    values = unknown_facts()
    for name, fact in FACTS.items():
        at = SLOTS[name]
        if fact.type is Type.NUMBER:
            assert values[at : at + 2] == [LOWEST, HIGHEST]
        else:
            assert values[at] == fact.everything
    values[0] = 7
    assert unknown_facts()[0] == LOWEST, "each caller gets a list of its own"


def test_yes_no_masks() -> None:
    assert YES | NO == EITHER == FACTS["new_start"].everything
    assert YES & NO == 0


def test_every_fact_says_what_to_send() -> None:
    for fact in FACTS.values():
        assert fact.doc
        assert fact.send.split(".")[0] in {"prescription", "patient"}
        assert (fact.type is Type.CHOICE) == bool(fact.values)
        assert len(set(fact.values)) == len(fact.values)


def test_limits_hold_numbers_sets_or_flags() -> None:
    assert {limit.type for limit in LIMITS.values()} == {Type.NUMBER, Type.CHOICE, Type.FLAG}
    for name, limit in LIMITS.items():
        assert limit.name == name
        assert (limit.type is Type.CHOICE) == bool(limit.values)


def test_only_milligrams_are_held_finer_than_written() -> None:
    assert {unit: unit.scale for unit in Unit if unit.scale != 1} == {Unit.MG: 1000}
