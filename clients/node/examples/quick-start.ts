import { MedsafetyClient } from "medsafety";
import { HepaticGrade } from "medsafety/v1/patient";
import { TreatmentStatus } from "medsafety/v1/prescription";

const client = new MedsafetyClient(process.argv[2] ?? "127.0.0.1:50551", { timeoutMs: 10_000 });

const { decision } = await client.check({
  prescription: {
    medication: { text: "Cyclobenzaprine 10 mg tablet" },
    dose: { case: "doseQuantity", value: { value: 10, unit: "mg" } },
    frequency: { times: 3, period: 1, periodUnit: "d" },
    daysSupply: 14,
    refills: 1,
    treatmentStatus: TreatmentStatus.NEW,
  },
  patient: { hepatic: { grade: HepaticGrade.MILD } },
});

for (const alert of decision?.alerts ?? []) {
  console.log(alert.title);
}
for (const check of decision?.checks ?? []) {
  for (const missing of check.missing) {
    console.log(`${check.ruleId}: send ${missing.path}`);
  }
}
client.close();
