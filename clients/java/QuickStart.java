import com.google.gson.Gson;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import medsafety.v1.*;

public class QuickStart {
  public static void main(String[] arguments) throws Exception {
    String target = arguments.length > 0 ? arguments[0] : "127.0.0.1:50551";
    @SuppressWarnings("unchecked")
    Map<String, ?> retryPolicy =
        new Gson().fromJson(Files.readString(Path.of("clients/retry-policy.json")), Map.class);
    ManagedChannel channel = ManagedChannelBuilder.forTarget(target)
        .usePlaintext() // on this machine only; without it the channel asks for TLS
        .defaultServiceConfig(retryPolicy)
        .enableRetry()
        .build();
    var checks = MedicationSafetyServiceGrpc.newBlockingStub(channel);

    var prescription = Prescription.newBuilder()
        .setMedication(Medication.newBuilder().setText("Cyclobenzaprine 10 mg tablet"))
        .setDoseQuantity(Quantity.newBuilder().setValue(10).setUnit("mg"))
        .setFrequency(Frequency.newBuilder().setTimes(3).setPeriod(1).setPeriodUnit("d"))
        .setDaysSupply(14)
        .setRefills(1)
        .setTreatmentStatus(TreatmentStatus.TREATMENT_STATUS_NEW);
    var patient = Patient.newBuilder()
        .setHepatic(Hepatic.newBuilder().setGrade(HepaticGrade.HEPATIC_GRADE_MILD));
    var request = CheckPrescriptionRequest.newBuilder().setPrescription(prescription).setPatient(patient);

    Decision decision =
        checks.withDeadlineAfter(10, TimeUnit.SECONDS).checkPrescription(request.build()).getDecision();
    for (Alert alert : decision.getAlertsList()) {
      System.out.println(alert.getTitle());
    }
    for (Check check : decision.getChecksList()) {
      for (Missing missing : check.getMissingList()) {
        System.out.println(check.getRuleId() + ": send " + missing.getPath());
      }
    }
    channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
  }
}
