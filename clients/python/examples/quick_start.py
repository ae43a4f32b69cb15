"""Asks a running server about one prescription."""

import sys

from medsafety import CheckPrescriptionRequest, MedsafetyClient
from medsafety.v1.patient_pb2 import HEPATIC_GRADE_MILD
from medsafety.v1.prescription_pb2 import TREATMENT_STATUS_NEW

request = CheckPrescriptionRequest()
order = request.prescription
order.medication.text = "Cyclobenzaprine 10 mg tablet"
order.dose_quantity.value = 10
order.dose_quantity.unit = "mg"
order.frequency.times = 3
order.frequency.period = 1
order.frequency.period_unit = "d"
order.days_supply = 14
order.refills = 1
order.treatment_status = TREATMENT_STATUS_NEW
request.patient.hepatic.grade = HEPATIC_GRADE_MILD

with MedsafetyClient(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50551", timeout=10) as client:
    decision = client.check(request).decision

for alert in decision.alerts:
    print(alert.title)
for check in decision.checks:
    for missing in check.missing:
        print(f"{check.rule_id}: send {missing.path}")
