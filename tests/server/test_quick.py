import dataclasses
import pickle

import pytest

from safety_service import domain
from safety_service.server.quick import quick

FROZEN = [
    domain.Coding,
    domain.Medication,
    domain.Quantity,
    domain.Frequency,
    domain.Condition,
    domain.Prescription,
    domain.MedicationRecord,
    domain.LabResult,
    domain.Allergy,
    domain.CareTried,
    domain.Patient,
]


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda each: each.__name__)
def test_what_comes_out_is_the_frozen_object(frozen: type) -> None:
    values = [f"value {i}" for i, _ in enumerate(dataclasses.fields(frozen))]

    made = quick(frozen)(*values)

    assert type(made) is frozen
    assert made == frozen(*values)
    assert hash(made) == hash(frozen(*values))
    assert repr(made) == repr(frozen(*values))
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(frozen)[0].name, "other")


def test_defaults_and_keywords_are_those_of_the_frozen_class() -> None:
    medication = domain.Medication(text="baclofen")

    assert quick(domain.Prescription)(medication, refills=2) == domain.Prescription(medication, refills=2)
