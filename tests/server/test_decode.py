"""What is understood, what is refused and with which words, and what is passed on as not usable."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from google.type.date_pb2 import Date

from medsafety.v1.common_pb2 import ANSWER_NO, ANSWER_YES, COMPLETENESS_COMPLETE, Quantity
from medsafety.v1.medication_pb2 import DoseRange, Frequency
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.patient_pb2 import ASCITES_SLIGHT, CHILD_PUGH_CLASS_B, ENCEPHALOPATHY_NONE, SEX_FEMALE
from safety_service import domain
from safety_service.domain import Answer, Completeness, NotProcessed, to_day
from safety_service.server import limits
from safety_service.server.decode import InvalidRequestError, decode, decode_medication, prefixed

TODAY = to_day(date(2026, 11, 22))
Sent = CheckPrescriptionRequest
UNDEFINED: Any = 99  # a number that no enum has


def violations(sent: Sent) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as raised:
        decode(sent, TODAY)
    found = dict(raised.value.violations)
    assert len(found) == len(raised.value.violations), "a path is named twice"
    return found


def smallest() -> Sent:
    sent = Sent()
    sent.prescription.medication.text = "baclofen"
    return sent


def test_the_most_of_a_day_is_an_amount_like_a_dose() -> None:
    sent = smallest()
    assert decode(sent, TODAY).request.prescription.daily_most is None
    sent.prescription.daily_most.CopyFrom(Quantity(value=30, unit="mg"))
    assert decode(sent, TODAY).request.prescription.daily_most == domain.Quantity(30, "mg")
    sent.prescription.daily_most.value = limits.DOSE_MASS.value + 1
    assert list(violations(sent)) == ["prescription.daily_most.value"]


# --- what is understood ------------------------------------------------------------------------------------------


def test_the_articles_case_is_read_in_full(request_sent: Sent) -> None:
    read = decode(request_sent, TODAY).request

    day = to_day(date(2026, 11, 2))
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    name = "Cyclobenzaprine hydrochloride 10 MG Oral Tablet"
    back_pain = domain.Coding("http://hl7.org/fhir/sid/icd-10-cm", "M54.50", "Low back pain, unspecified")
    assert read.as_of == day
    assert read.not_processed == ()
    order = read.prescription
    assert order.medication == domain.Medication((domain.Coding(rxnorm, "828348", name),), name)
    assert order.dose_low == order.dose_high == domain.Quantity(10.0, "mg")
    assert order.frequency == domain.Frequency(3, 3, 24)
    assert (order.as_needed, order.days_supply, order.refills) == (Answer.NO, 14, 1)
    assert (order.ordered_on, order.start, order.end) == (day, day, None)
    assert order.quantity == domain.Quantity(42.0, "{tbl}")
    assert order.indications[0].codings == (back_pain,)
    assert order.status is domain.TreatmentStatus.NEW
    patient = read.patient
    assert (patient.id, patient.age_years, patient.born_earliest) == ("patient-1", 68, None)
    assert patient.hepatic.grade is domain.HepaticGrade.MILD
    assert [each.id for each in patient.conditions.items] == ["condition-1", "condition-2", "condition-3"]
    assert patient.conditions.completeness is Completeness.COMPLETE
    (record,) = patient.medications.items
    assert (record.id, record.kind, record.status) == (
        "order-0",
        domain.RecordKind.ORDER,
        domain.RecordStatus.ACTIVE,
    )
    assert record.frequency == domain.Frequency(1, 1, 6)
    assert record.known_on == record.start == to_day(date(2026, 10, 26))
    assert patient.care == domain.Listed((), Completeness.COMPLETE)
    assert patient.drives_or_operates_machinery is Answer.YES
    assert patient.falls is Answer.UNKNOWN


def test_what_is_not_sent_is_not_known() -> None:
    read = decode(smallest(), TODAY).request

    medication = domain.Medication(text="baclofen")
    assert read == domain.CheckRequest(domain.Prescription(medication), domain.Patient(), TODAY)


def test_empty_and_not_sent_differ() -> None:
    sent = smallest()
    sent.prescription.refills = 0
    sent.patient.age_years = 0
    sent.patient.renal.egfr = 0.0
    sent.patient.conditions.SetInParent()

    read = decode(sent, TODAY).request

    assert read.prescription.refills == 0
    assert read.patient.age_years == 0
    assert read.patient.renal == domain.Renal(0.0, None, Answer.UNKNOWN)
    assert read.patient.conditions.completeness is Completeness.UNKNOWN


def test_every_field_of_a_record_is_read() -> None:
    sent = smallest()
    record = sent.patient.medications.items.add(
        id="r1", as_needed=2, days_supply=30, refills=2, status=3, kind=2, prescriber_id="p9"
    )
    record.medication.text = "oxycodone"
    record.dose_range.low.CopyFrom(Quantity(value=1, unit="{tbl}"))
    record.dose_range.high.CopyFrom(Quantity(value=2, unit="{tbl}"))
    record.known_on.CopyFrom(Date(year=2026, month=1, day=2))
    record.start_date.CopyFrom(Date(year=2026, month=1, day=3))
    record.end_date.CopyFrom(Date(year=2026, month=1, day=3))
    record.quantity.CopyFrom(Quantity(value=60, unit="{tbl}"))
    record.indications.add(text="pain")

    (read,) = decode(sent, TODAY).request.patient.medications.items

    assert read == domain.MedicationRecord(
        domain.Medication(text="oxycodone"),
        id="r1",
        kind=domain.RecordKind.DISPENSING,
        status=domain.RecordStatus.STOPPED,
        known_on=to_day(date(2026, 1, 2)),
        start=to_day(date(2026, 1, 3)),
        end=to_day(date(2026, 1, 3)),
        days_supply=30,
        quantity=domain.Quantity(60.0, "{tbl}"),
        refills=2,
        dose_low=domain.Quantity(1.0, "{tbl}"),
        dose_high=domain.Quantity(2.0, "{tbl}"),
        as_needed=Answer.YES,
        indications=(domain.Condition(text="pain"),),
        prescriber_id="p9",
    )


def test_the_rest_of_the_patient_is_read() -> None:
    sent = smallest()
    patient = sent.patient
    patient.sex, patient.pregnant, patient.lactating = SEX_FEMALE, ANSWER_NO, ANSWER_YES
    patient.alcohol_use, patient.falls = ANSWER_YES, ANSWER_NO
    patient.renal.crcl, patient.renal.dialysis = 42.0, ANSWER_NO
    patient.allergies.items.add(id="a1", status=6).substance.text = "meprobamate"
    care = patient.care_options_tried.items.add(option_id="yoga", text="yoga", outcome=4)
    care.documented_on.CopyFrom(Date(year=2026, month=5, day=6))
    patient.hepatic.child_pugh_class = CHILD_PUGH_CLASS_B
    inputs = patient.hepatic.child_pugh
    inputs.bilirubin.CopyFrom(Quantity(value=2.5, unit="mg/dL"))
    inputs.albumin.CopyFrom(Quantity(value=30, unit="g/L"))
    inputs.inr, inputs.ascites, inputs.encephalopathy = 1.8, ASCITES_SLIGHT, ENCEPHALOPATHY_NONE
    lab = patient.hepatic.labs.items.add(id="l1", test=1)
    lab.value.CopyFrom(Quantity(value=80, unit="U/L"))
    lab.upper_limit.CopyFrom(Quantity(value=40, unit="U/L"))
    lab.resulted_on.CopyFrom(Date(year=2026, month=11, day=1))
    sent.prior_overrides.add(fingerprint="f", overridden_on=Date(year=2026, month=1, day=1), reason="why")

    read = decode(sent, TODAY).request

    assert read.not_processed == ()
    assert read.prior_overrides == (domain.PriorOverride("f", to_day(date(2026, 1, 1)), "why"),)
    assert read.patient == domain.Patient(
        sex=domain.Sex.FEMALE,
        pregnant=Answer.NO,
        lactating=Answer.YES,
        alcohol_use=Answer.YES,
        falls=Answer.NO,
        renal=domain.Renal(crcl=42.0, dialysis=Answer.NO),
        allergies=domain.Listed(
            (domain.Allergy(domain.Medication(text="meprobamate"), domain.ConditionStatus.RESOLVED, "a1"),)
        ),
        care=domain.Listed(
            (domain.CareTried("yoga", (), "yoga", domain.CareOutcome.FAILED, to_day(date(2026, 5, 6))),)
        ),
        hepatic=domain.Hepatic(
            child_pugh_class=domain.ChildPughClass.B,
            child_pugh=domain.ChildPughInputs(
                domain.Quantity(2.5, "mg/dL"),
                domain.Quantity(30.0, "g/L"),
                1.8,
                domain.Ascites.SLIGHT,
                domain.Encephalopathy.NONE,
            ),
            labs=domain.Listed(
                (
                    domain.LabResult(
                        domain.LiverTest.ALT,
                        domain.Quantity(80.0, "U/L"),
                        domain.Quantity(40.0, "U/L"),
                        to_day(date(2026, 11, 1)),
                        "l1",
                    ),
                )
            ),
        ),
    )


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (Frequency(times=3, period=1, period_unit="d"), (3, 3, 24)),
        (Frequency(times=1, period=6, period_unit="h"), (1, 1, 6)),
        (Frequency(times=2, period=1, period_unit="wk"), (2, 2, 168)),
        (Frequency(times=1, times_max=2, period=1, period_unit="d"), (1, 2, 24)),
        (Frequency(times=1, period=4, period_max=6, period_unit="h"), (2, 3, 12)),
        (Frequency(times=1, times_max=2, period=4, period_max=6, period_unit="h"), (2, 6, 12)),
        (Frequency(times=1, period=1.5, period_unit="d"), (1, 1, 36)),
        (Frequency(times=1, period=0.5, period_unit="h"), (2, 2, 1)),
        (Frequency(times=1, period=1 / 3, period_unit="d"), (1, 1, 8)),
        (Frequency(times=1, period=30, period_unit="d"), (1, 1, 720)),
        (Frequency(times=1, period=31, period_unit="d"), (1, 1, 744)),
        (Frequency(times=100, period=366, period_unit="d"), (100, 100, 8784)),
    ],
)
def test_a_frequency_is_administrations_in_whole_hours(sent: Frequency, read: tuple[int, int, int]) -> None:
    request = smallest()
    request.prescription.frequency.CopyFrom(sent)

    frequency = decode(request, TODAY).request.prescription.frequency

    assert frequency == domain.Frequency(*read)
    assert all(type(each) is int for each in (frequency.times_low, frequency.times_high, frequency.period_hours))


@pytest.mark.parametrize(
    ("sent", "earliest", "latest"),
    [
        (Date(year=1958, month=3, day=9), date(1958, 3, 9), date(1958, 3, 9)),
        (Date(year=1958, month=2), date(1958, 2, 1), date(1958, 2, 28)),
        (Date(year=1960, month=2), date(1960, 2, 1), date(1960, 2, 29)),
        (Date(year=1958), date(1958, 1, 1), date(1958, 12, 31)),
    ],
)
def test_a_partial_birth_date_is_a_range(sent: Date, earliest: date, latest: date) -> None:
    request = smallest()
    request.patient.birth_date.CopyFrom(sent)

    patient = decode(request, TODAY).request.patient

    assert (patient.born_earliest, patient.born_latest) == (to_day(earliest), to_day(latest))


def test_as_of_is_as_sent_else_ordered_on_else_start_else_today() -> None:
    sent = smallest()
    assert decode(sent, TODAY).request.as_of == TODAY
    sent.prescription.start_date.CopyFrom(Date(year=2026, month=3, day=3))
    assert decode(sent, TODAY).request.as_of == to_day(date(2026, 3, 3))
    sent.prescription.ordered_on.CopyFrom(Date(year=2026, month=2, day=2))
    assert decode(sent, TODAY).request.as_of == to_day(date(2026, 2, 2))
    sent.as_of.CopyFrom(Date(year=2026, month=1, day=1))
    assert decode(sent, TODAY).request.as_of == to_day(date(2026, 1, 1))


def test_a_number_without_a_unit_keeps_its_unknown_unit() -> None:
    sent = smallest()
    sent.prescription.dose_quantity.value = 10

    read = decode(sent, TODAY).request

    assert read.prescription.dose_high == domain.Quantity(10.0, "")
    assert read.not_processed == ()


@pytest.mark.parametrize("unit", ["ug", "mg", "g", "mL", "{tbl}", "{my own pieces}", "[iU]", "meq", "ug/h", "1"])
def test_units_that_are_understood(unit: str) -> None:
    sent = smallest()
    sent.prescription.dose_quantity.CopyFrom(Quantity(value=1, unit=unit))

    assert decode(sent, TODAY).request.prescription.dose_low == domain.Quantity(1.0, unit)


# --- what is possible and cannot be used -------------------------------------------------------------------------


def not_processed(change: Callable[[Sent], Any]) -> tuple[domain.CheckRequest, list[str]]:
    sent = smallest()
    change(sent)
    read = decode(sent, TODAY).request
    assert all(each.reason for each in read.not_processed)
    return read, [each.path for each in read.not_processed]


@pytest.mark.parametrize(
    ("partial", "named"),
    [(Date(year=2026), "month and day"), (Date(year=2026, month=3), "day"), (Date(), "year and month and day")],
)
def test_a_date_that_lacks_a_part_is_not_used(partial: Date, named: str) -> None:
    sent = smallest()
    sent.patient.conditions.items.add(text="x").onset.CopyFrom(partial)

    read = decode(sent, TODAY).request

    assert read.patient.conditions.items[0].onset is None
    expected = NotProcessed("patient.conditions.items[0].onset", f"{named} not sent: the date is not used")
    assert read.not_processed == (expected,)


def test_child_pugh_needs_all_five_inputs() -> None:
    read, paths = not_processed(lambda sent: setattr(sent.patient.hepatic.child_pugh, "inr", 1.2))

    assert read.patient.hepatic.child_pugh is None
    assert paths == ["patient.hepatic.child_pugh"]
    assert read.not_processed[0].reason.endswith("bilirubin, albumin, ascites, encephalopathy")


@pytest.mark.parametrize("lacking", ["times", "period", "period_unit"])
def test_a_frequency_that_lacks_a_part_is_not_known(lacking: str) -> None:
    frequency = Frequency(times=3, period=1, period_unit="d")
    frequency.ClearField(lacking)  # type: ignore[arg-type]

    read, paths = not_processed(lambda sent: sent.prescription.frequency.CopyFrom(frequency))

    assert read.prescription.frequency is None
    assert paths == ["prescription.frequency"]
    assert read.not_processed[0].reason.startswith(lacking)


def test_a_unit_without_a_value_says_no_amount() -> None:
    read, paths = not_processed(lambda sent: sent.prescription.dose_quantity.CopyFrom(Quantity(unit="mg")))

    assert read.prescription.dose_high is None
    assert paths == ["prescription.dose_quantity"]


def test_a_lab_result_left_out_makes_a_complete_list_partial() -> None:
    def change(sent: Sent) -> None:
        labs = sent.patient.hepatic.labs
        labs.completeness = COMPLETENESS_COMPLETE
        labs.items.add(test=0).value.CopyFrom(Quantity(value=1, unit="U/L"))
        labs.items.add(test=2)
        labs.items.add(test=3).value.CopyFrom(Quantity(value=1, unit="U/L"))

    read, paths = not_processed(change)

    labs = read.patient.hepatic.labs
    assert [each.test for each in labs.items] == [domain.LiverTest.ALP]
    assert labs.completeness is Completeness.PARTIAL, "the result left out could be the one a rule looks for"
    assert paths == ["patient.hepatic.labs.items[0].test", "patient.hepatic.labs.items[1].value"]


# --- what is refused ---------------------------------------------------------------------------------------------


def dose(value: float, unit: str = "mg") -> Callable[[Sent], None]:
    return lambda sent: sent.prescription.dose_quantity.CopyFrom(Quantity(value=value, unit=unit))


def order_date(field: str, **parts: int) -> Callable[[Sent], None]:
    return lambda sent: getattr(sent.prescription, field).CopyFrom(Date(**parts))


def frequency(**parts: Any) -> Callable[[Sent], None]:
    return lambda sent: sent.prescription.frequency.CopyFrom(Frequency(**parts))


def set_to(path: str, value: Any) -> Callable[[Sent], None]:
    def change(sent: Sent) -> None:
        at: Any = sent
        *way, last = path.split(".")
        for each in way:
            at = getattr(at, each)
        setattr(at, last, value)

    return change


def both(*changes: Callable[[Sent], Any]) -> Callable[[Sent], None]:
    def change(sent: Sent) -> None:
        for each in changes:
            each(sent)

    return change


DAY = {"year": 2026, "month": 11, "day": 2}
REFUSED: list[tuple[str, Callable[[Sent], Any], str]] = [
    # numbers
    ("prescription.dose_quantity.value", dose(-1), "must be greater than 0"),
    ("prescription.dose_quantity.value", dose(0), "must be greater than 0"),
    ("prescription.dose_quantity.value", dose(float("nan")), "must be a finite number"),
    ("prescription.dose_quantity.value", dose(float("inf")), "must be a finite number"),
    ("prescription.dose_quantity.value", dose(float("-inf")), "must be a finite number"),
    ("prescription.dose_quantity.value", dose(1e-300), "must be 0.001 or more"),
    ("prescription.dose_quantity.value", dose(100_000.5), "must be 100,000 or less here"),
    ("prescription.dose_quantity.value", dose(101, "g"), "must be 100 or less here"),
    ("prescription.dose_quantity.value", dose(1001, "{tbl}"), "must be 1,000 or less here"),
    ("prescription.dose_quantity.value", dose(1001, "{lozenge}"), "must be 1,000 or less here"),
    ("prescription.dose_quantity.value", dose(1e308, ""), "must be 1e+09 or less here"),
    ("prescription.days_supply", set_to("prescription.days_supply", 0), "must be 1 to 365"),
    ("prescription.days_supply", set_to("prescription.days_supply", 366), "must be 1 to 365"),
    ("prescription.days_supply", set_to("prescription.days_supply", -14), "must be 1 to 365"),
    ("prescription.refills", set_to("prescription.refills", -1), "must be 0 to 99"),
    ("prescription.refills", set_to("prescription.refills", 100), "must be 0 to 99"),
    ("patient.age_years", set_to("patient.age_years", -1), "must be 0 to 150"),
    ("patient.age_years", set_to("patient.age_years", 151), "must be 0 to 150"),
    ("patient.renal.egfr", set_to("patient.renal.egfr", -0.1), "must be 0 or more"),
    ("patient.renal.crcl", set_to("patient.renal.crcl", float("nan")), "must be a finite number"),
    ("patient.renal.crcl", set_to("patient.renal.crcl", 1001.0), "must be 1,000 or less here"),
    ("patient.hepatic.child_pugh.inr", set_to("patient.hepatic.child_pugh.inr", 0.0), "must be greater than 0"),
    ("patient.hepatic.child_pugh.inr", set_to("patient.hepatic.child_pugh.inr", 51.0), "must be 50 or less here"),
    # units
    ("prescription.dose_quantity.unit", dose(10, "mgg"), "must be a UCUM unit"),
    ("prescription.dose_quantity.unit", dose(10, "MG"), "must be a UCUM unit"),
    ("prescription.dose_quantity.unit", dose(10, "tablet"), "must be a UCUM unit"),
    ("prescription.dose_quantity.unit", dose(10, "{a}{b}"), "must be a UCUM unit"),
    ("prescription.dose_quantity.unit", dose(10, "{}"), "must be a UCUM unit"),
    ("prescription.frequency.period_unit", frequency(times=1, period=1, period_unit="day"), 'must be "h", "d" or "wk"'),
    (
        "patient.hepatic.child_pugh.bilirubin.unit",
        lambda sent: sent.patient.hepatic.child_pugh.bilirubin.CopyFrom(Quantity(value=1, unit="U/L")),
        "mg/dL or umol/L",
    ),
    # frequency
    ("prescription.frequency.times", frequency(times=0, period=1, period_unit="d"), "must be 1 to 100"),
    ("prescription.frequency.times", frequency(times=101, period=1, period_unit="d"), "must be 1 to 100"),
    ("prescription.frequency.times_max", frequency(times=3, times_max=2, period=1, period_unit="d"), "below times"),
    ("prescription.frequency.period", frequency(times=3, period=0, period_unit="d"), "must be greater than 0"),
    ("prescription.frequency.period", frequency(times=3, period=-1, period_unit="h"), "must be greater than 0"),
    ("prescription.frequency.period", frequency(times=3, period=367, period_unit="d"), "must be 366 or less"),
    ("prescription.frequency.period", frequency(times=3, period=float("nan"), period_unit="d"), "finite"),
    (
        "prescription.frequency.period_max",
        frequency(times=1, period=6, period_max=4, period_unit="h"),
        "must not be below period",
    ),
    # dates
    ("prescription.ordered_on", order_date("ordered_on", year=2026, month=2, day=30), "no such calendar date"),
    ("prescription.ordered_on", order_date("ordered_on", year=2026, month=13, day=1), "no such calendar date"),
    ("prescription.ordered_on", order_date("ordered_on", year=2026, month=-1, day=1), "no such calendar date"),
    ("prescription.ordered_on", order_date("ordered_on", year=2026, day=1), "no such calendar date"),
    ("prescription.ordered_on", order_date("ordered_on", year=2**31 - 1, month=1, day=1), "the year must be 1900"),
    ("prescription.start_date", order_date("start_date", year=1899, month=12, day=31), "the year must be 1900"),
    ("prescription.start_date", order_date("start_date", year=2201, month=1, day=1), "the year must be 1900"),
    ("as_of", lambda sent: sent.as_of.CopyFrom(Date(year=2026, month=11)), "year, month and day are required"),
    ("as_of", lambda sent: sent.as_of.SetInParent(), "year, month and day are required"),
    ("patient.birth_date", lambda sent: sent.patient.birth_date.CopyFrom(Date(year=1850)), "the year must be 1900"),
    (
        "patient.birth_date",
        lambda sent: sent.patient.birth_date.CopyFrom(Date(year=2026, month=12, day=1)),
        "after the day to decide for",
    ),
    (
        "prescription.end_date",
        both(order_date("start_date", **DAY), order_date("end_date", **DAY)),
        "must be after prescription.start_date",
    ),
    (
        "prescription.end_date",
        both(order_date("start_date", **DAY), order_date("end_date", year=2026, month=11, day=1)),
        "must be after prescription.start_date",
    ),
    (
        "prescription.start_date",
        both(
            order_date("start_date", year=1957, month=12, day=31),
            lambda sent: sent.patient.birth_date.CopyFrom(Date(year=1958)),
        ),
        "before patient.birth_date",
    ),
    # enums
    ("view", set_to("view", 3), "must be 0 to 2"),
    ("prescription.as_needed", set_to("prescription.as_needed", 3), "must be 0 to 2"),
    ("prescription.treatment_status", set_to("prescription.treatment_status", 99), "must be 0 to 2"),
    ("prescription.kind", set_to("prescription.kind", 3), "must be ORDER or DISPENSING"),
    ("prescription.kind", set_to("prescription.kind", -1), "must be ORDER or DISPENSING"),
    ("prescription.benefit_documented", set_to("prescription.benefit_documented", -1), "must be 0 to 2"),
    ("patient.sex", set_to("patient.sex", 4), "must be 0 to 3"),
    ("patient.pregnant", set_to("patient.pregnant", 3), "must be 0 to 2"),
    ("patient.lactating", set_to("patient.lactating", 3), "must be 0 to 2"),
    ("patient.alcohol_use", set_to("patient.alcohol_use", 3), "must be 0 to 2"),
    (
        "patient.drives_or_operates_machinery",
        set_to("patient.drives_or_operates_machinery", 3),
        "must be 0 to 2",
    ),
    ("patient.falls", set_to("patient.falls", 3), "must be 0 to 2"),
    ("patient.hepatic.grade", set_to("patient.hepatic.grade", 5), "must be 0 to 4"),
    ("patient.hepatic.child_pugh_class", set_to("patient.hepatic.child_pugh_class", 4), "must be 0 to 3"),
    ("patient.hepatic.child_pugh.ascites", set_to("patient.hepatic.child_pugh.ascites", 4), "must be 0 to 3"),
    (
        "patient.hepatic.child_pugh.encephalopathy",
        set_to("patient.hepatic.child_pugh.encephalopathy", 4),
        "must be 0 to 3",
    ),
    ("patient.renal.dialysis", set_to("patient.renal.dialysis", 3), "must be 0 to 2"),
    ("patient.conditions.completeness", set_to("patient.conditions.completeness", 3), "must be 0 to 2"),
    ("patient.medications.completeness", set_to("patient.medications.completeness", 3), "must be 0 to 2"),
    ("patient.allergies.completeness", set_to("patient.allergies.completeness", 3), "must be 0 to 2"),
    (
        "patient.care_options_tried.completeness",
        set_to("patient.care_options_tried.completeness", 3),
        "must be 0 to 2",
    ),
    ("patient.hepatic.labs.completeness", set_to("patient.hepatic.labs.completeness", 3), "must be 0 to 2"),
    # lengths
    ("request_id", set_to("request_id", "x" * 65), "at most 64 printable ASCII characters"),
    ("request_id", set_to("request_id", "é"), "at most 64 printable ASCII characters"),
    ("request_id", set_to("request_id", "a\nb"), "at most 64 printable ASCII characters"),
    ("policy", set_to("policy", "x" * 257), "at most 256 characters"),
    ("expected_knowledge_digest", set_to("expected_knowledge_digest", "x" * 257), "at most 256 characters"),
    ("prescription.id", set_to("prescription.id", "x" * 257), "at most 256 characters"),
    ("prescription.route", set_to("prescription.route", "x" * 257), "at most 256 characters"),
    ("prescription.prescriber_id", set_to("prescription.prescriber_id", "x" * 257), "at most 256 characters"),
    ("prescription.dosage_text", set_to("prescription.dosage_text", "x" * 1001), "at most 1000 characters"),
    ("prescription.medication.text", set_to("prescription.medication.text", "x" * 1001), "at most 1000 characters"),
    ("patient.id", set_to("patient.id", "x" * 257), "at most 256 characters"),
    ("prior_overrides[0].fingerprint", lambda sent: sent.prior_overrides.add(), "required"),
]


@pytest.mark.parametrize(("path", "change", "reason"), REFUSED, ids=[f"{i}-{p}" for i, (p, _, _) in enumerate(REFUSED)])
def test_refused_with_path_and_reason(path: str, change: Callable[[Sent], Any], reason: str) -> None:
    sent = smallest()
    change(sent)

    found = violations(sent)

    assert list(found) == [path]
    assert reason in found[path]


def test_in_lists_the_path_has_the_place() -> None:
    sent = smallest()
    for _ in range(3):
        sent.patient.medications.items.add()
        sent.patient.conditions.items.add()
        sent.patient.allergies.items.add()
        sent.patient.care_options_tried.items.add()
        sent.patient.hepatic.labs.items.add(test=4)
        sent.prescription.indications.add()
    record = sent.patient.medications.items[2]
    record.id, record.prescriber_id = "x" * 257, "x" * 257
    record.status, record.kind, record.as_needed = UNDEFINED, UNDEFINED, UNDEFINED
    record.start_date.CopyFrom(Date(year=2026, month=2, day=2))
    record.end_date.CopyFrom(Date(year=2026, month=2, day=1))
    record.medication.codings.add()
    record.medication.codings.add(system="x" * 257, code="x" * 257, display="x" * 1001)
    record.dose_range.high.CopyFrom(Quantity(value=1, unit="mgg"))
    record.frequency.CopyFrom(Frequency(times=0))
    record.quantity.CopyFrom(Quantity(value=-1, unit="mL"))
    record.days_supply, record.refills = 0, -1
    record.indications.add(id="x" * 257)
    condition = sent.patient.conditions.items[1]
    condition.text, condition.status = "x" * 1001, UNDEFINED
    condition.recorded_on.CopyFrom(Date(year=1, month=1, day=1))
    sent.prescription.indications[2].onset.CopyFrom(Date(year=2026, month=4, day=31))
    allergy = sent.patient.allergies.items[1]
    allergy.id, allergy.status, allergy.substance.text = "x" * 257, UNDEFINED, "x" * 1001
    care = sent.patient.care_options_tried.items[1]
    care.option_id, care.text, care.outcome = "x" * 257, "x" * 1001, UNDEFINED
    lab = sent.patient.hepatic.labs.items[1]
    lab.id = "x" * 257
    lab.value.CopyFrom(Quantity(value=1, unit="mg/dL"))
    lab.upper_limit.CopyFrom(Quantity(value=20, unit="umol/L"))
    sent.patient.hepatic.labs.items[2].test = UNDEFINED

    found = violations(sent)

    at = "patient.medications.items[2]"
    assert set(found) == {
        "prescription.indications[2].onset",
        f"{at}.id",
        f"{at}.prescriber_id",
        f"{at}.medication.codings[1].system",
        f"{at}.medication.codings[1].code",
        f"{at}.medication.codings[1].display",
        f"{at}.dose_range.high.unit",
        f"{at}.frequency.times",
        f"{at}.as_needed",
        f"{at}.end_date",
        f"{at}.days_supply",
        f"{at}.refills",
        f"{at}.quantity.value",
        f"{at}.indications[0].id",
        f"{at}.status",
        f"{at}.kind",
        "patient.conditions.items[1].text",
        "patient.conditions.items[1].status",
        "patient.conditions.items[1].recorded_on",
        "patient.allergies.items[1].id",
        "patient.allergies.items[1].status",
        "patient.allergies.items[1].substance.text",
        "patient.care_options_tried.items[1].option_id",
        "patient.care_options_tried.items[1].text",
        "patient.care_options_tried.items[1].outcome",
        "patient.hepatic.labs.items[1].id",
        "patient.hepatic.labs.items[1].upper_limit.unit",
        "patient.hepatic.labs.items[2].test",
    }


def test_all_violations_are_named_at_once() -> None:
    sent = Sent(request_id="x" * 65, view=UNDEFINED)
    sent.prescription.dose_quantity.CopyFrom(Quantity(value=float("nan"), unit="mgg"))
    sent.prescription.days_supply = -1
    sent.patient.age_years = 200

    assert list(violations(sent)) == [
        "request_id",
        "view",
        "prescription.medication",
        "prescription.dose_quantity.unit",
        "prescription.dose_quantity.value",
        "prescription.days_supply",
        "patient.age_years",
    ]


def test_an_empty_request_is_refused() -> None:
    assert violations(Sent()) == {"prescription": "required"}


@pytest.mark.parametrize("text", ["", "  "])
def test_an_order_names_its_medication(text: str) -> None:
    sent = Sent()
    sent.prescription.medication.text = text
    sent.prescription.medication.codings.add(system="http://www.nlm.nih.gov/research/umls/rxnorm")

    assert violations(sent) == {"prescription.medication": "a code or a text is required"}


def test_a_display_alone_names_a_medication() -> None:
    sent = Sent()
    sent.prescription.medication.codings.add(display="baclofen")

    assert decode(sent, TODAY).request.prescription.medication.codings[0].display == "baclofen"


def test_a_range_does_not_end_below_its_start() -> None:
    sent = smallest()
    low, high = Quantity(value=2, unit="{tbl}"), Quantity(value=1, unit="{tbl}")
    sent.prescription.dose_range.CopyFrom(DoseRange(low=low, high=high))
    assert violations(sent) == {"prescription.dose_range": "low must not be above high"}

    high.unit = "mg"  # two units cannot be compared here
    sent.prescription.dose_range.CopyFrom(DoseRange(low=low, high=high))
    assert decode(sent, TODAY).request.prescription.dose_low == domain.Quantity(2.0, "{tbl}")


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("prior_overrides", limits.LIST_ITEMS.value),
        ("prescription.indications", limits.INDICATIONS.value),
        ("prescription.medication.codings", limits.CODINGS.value),
        ("patient.conditions.items", limits.LIST_ITEMS.value),
        ("patient.medications.items", limits.LIST_ITEMS.value),
        ("patient.allergies.items", limits.LIST_ITEMS.value),
        ("patient.care_options_tried.items", limits.LIST_ITEMS.value),
        ("patient.hepatic.labs.items", limits.LIST_ITEMS.value),
    ],
)
def test_a_list_that_is_too_long_is_refused_as_such(path: str, most: int) -> None:
    sent = smallest()
    at: Any = sent
    for each in path.split("."):
        at = getattr(at, each)
    for _ in range(most):
        at.add(**({"fingerprint": "f"} if path == "prior_overrides" else {}))
    decode(sent, TODAY)

    at.add()
    with pytest.raises(InvalidRequestError) as raised:
        decode(sent, TODAY)

    assert raised.value.violations == [(path, f"at most {most} items")]
    assert raised.value.only_too_many


def test_reasons_do_not_repeat_what_was_sent() -> None:
    sent = smallest()
    sent.request_id = "Jane-Doe-1958-éé"
    sent.prescription.dose_quantity.CopyFrom(Quantity(value=10, unit="Jane Doe"))
    sent.prescription.frequency.CopyFrom(Frequency(times=1, period=1, period_unit="Jane Doe"))

    assert not any("Jane" in reason or "Jane" in path for path, reason in violations(sent).items())


def test_paths_of_an_item_start_at_its_batch() -> None:
    assert prefixed([("prescription", "required")], "items[3].") == [("items[3].prescription", "required")]


def test_a_medication_by_itself() -> None:
    sent = smallest().prescription.medication
    assert decode_medication(sent, "medication") == domain.Medication(text="baclofen")

    sent.Clear()
    with pytest.raises(InvalidRequestError) as raised:
        decode_medication(sent, "medication")
    assert raised.value.violations == [("medication", "a code or a text is required")]
