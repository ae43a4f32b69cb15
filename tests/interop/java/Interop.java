import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import medsafety.v1.*;

/** Prints what a Java client gets from the server; test_java.py says what that has to be. */
public class Interop {
  /** Arguments: target, a file with a CheckPrescriptionRequest, and where to write the decision. */
  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    CheckPrescriptionRequest request =
        CheckPrescriptionRequest.parseFrom(Files.readAllBytes(Path.of(arguments[1])));
    CheckPrescriptionRequest bad = request.toBuilder()
        .setPrescription(request.getPrescription().toBuilder().setDaysSupply(-1).setRefills(-1))
        .build();
    var checks = MedicationSafetyServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);

    Decision decision = checks.checkPrescription(request).getDecision();
    Files.write(Path.of(arguments[2]), decision.toByteArray());
    System.out.println("check " + decision.getOverall());

    var batch = BatchCheckPrescriptionsRequest.newBuilder();
    for (int index = 0; index < 50; index++) {
      batch.addItems((index == 7 ? bad : request).toBuilder().setRequestId("n" + index));
    }
    List<String> outcomes = new ArrayList<>();
    for (CheckResult each : checks.batchCheckPrescriptions(batch.build()).getItemsList()) {
      outcomes.add(each.getRequestId() + (each.hasResponse() ? "" : "!"));
    }
    System.out.println("batch " + String.join(",", outcomes));

    System.out.println("stream " + String.join(",", stream(channel, request, bad)));

    var health = HealthGrpc.newBlockingStub(channel);
    for (String service : List.of("", MedicationSafetyServiceGrpc.SERVICE_NAME, KnowledgeServiceGrpc.SERVICE_NAME)) {
      var asked = HealthCheckRequest.newBuilder().setService(service).build();
      System.out.println("health " + health.check(asked).getStatus());
    }

    try {
      checks.checkPrescription(bad);
    } catch (StatusRuntimeException error) {
      System.out.println("refused " + told(error));
    }

    var large = BatchCheckPrescriptionsRequest.newBuilder().addAllItems(Collections.nCopies(1000, request)).build();
    try {
      checks.withDeadlineAfter(5, TimeUnit.MILLISECONDS).batchCheckPrescriptions(large);
    } catch (StatusRuntimeException error) {
      System.out.println("deadline " + told(error));
    }

    // More at once than may wait; the last is cancelled.
    var futures = MedicationSafetyServiceGrpc.newFutureStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);
    var some = BatchCheckPrescriptionsRequest.newBuilder().addAllItems(Collections.nCopies(100, request)).build();
    var calls = new ArrayList<com.google.common.util.concurrent.ListenableFuture<?>>();
    for (int index = 0; index < 12; index++) {
      calls.add(futures.batchCheckPrescriptions(some));
    }
    for (var call : calls) {
      try {
        call.get();
      } catch (ExecutionException error) {
        System.out.println("overloaded " + told((StatusRuntimeException) error.getCause()));
        break;
      }
    }
    calls.forEach(call -> call.cancel(true));

    var rules = KnowledgeServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);
    System.out.println("after " + rules.getRule(GetRuleRequest.newBuilder().setRuleId("duration.course").build())
        .getRule().getId());
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private static List<String> stream(
      ManagedChannel channel, CheckPrescriptionRequest request, CheckPrescriptionRequest bad) throws Exception {
    List<String> seen = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch ended = new CountDownLatch(1);
    var answers = new StreamObserver<StreamCheckPrescriptionsResponse>() {
      @Override
      public void onNext(StreamCheckPrescriptionsResponse answer) {
        seen.add(answer.getResult().getRequestId() + (answer.getResult().hasResponse() ? "" : "!"));
      }

      @Override
      public void onError(Throwable error) {
        seen.add(error.toString());
        ended.countDown();
      }

      @Override
      public void onCompleted() {
        ended.countDown();
      }
    };
    var requests = MedicationSafetyServiceGrpc.newStub(channel).streamCheckPrescriptions(answers);
    for (int index = 0; index < 50; index++) {
      var item = (index == 7 ? bad : request).toBuilder().setRequestId("n" + index);
      requests.onNext(StreamCheckPrescriptionsRequest.newBuilder().setItem(item).build());
    }
    requests.onCompleted();
    if (!ended.await(60, TimeUnit.SECONDS)) {
      seen.add("the stream did not end");
    }
    return seen;
  }

  private static String told(StatusRuntimeException error) throws Exception {
    StringBuilder text = new StringBuilder(error.getStatus().getCode().toString());
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    for (com.google.protobuf.Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        text.append(' ').append(detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(BadRequest.class)) {
        for (var each : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          text.append(' ').append(each.getField());
        }
      } else if (detail.is(RetryInfo.class)) {
        var delay = detail.unpack(RetryInfo.class).getRetryDelay();
        text.append(delay.getSeconds() + delay.getNanos() > 0 ? " later" : " now");
      }
    }
    return text.toString();
  }
}
