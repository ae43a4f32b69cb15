/** A client that is not ours: connect-node, by the gRPC protocol, from the same generated messages. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { clone } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { CheckPrescriptionRequestSchema, KnowledgeService, MedicationSafetyService } from "../src/index.js";
import { BadRequestSchema, ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { Overall } from "../src/gen/medsafety/v1/decision_pb.js";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "./gen/grpc_health/v1/health_pb.js";
import { articleCase, target } from "./server.js";

const transport = createGrpcTransport({ baseUrl: `http://${target}` });
const checks = createClient(MedicationSafetyService, transport);

test("connect: one check", async () => {
  const answer = await checks.checkPrescription(articleCase());
  assert.equal(answer.decision?.overall, Overall.ALERTS);
  assert(answer.decision.alerts.some((each) => each.ruleId === "duration.course"));
});

test("connect: a batch", async () => {
  const bad = articleCase();
  bad.prescription!.daysSupply = -1;
  const { items } = await checks.batchCheckPrescriptions({ items: [articleCase(), bad, articleCase()] });
  assert.deepEqual(items.map((each) => each.outcome.case), ["response", "error", "response"]);
});

test("connect: a stream", async () => {
  async function* sent() {
    for (let index = 0; index < 20; index += 1) {
      const item = clone(CheckPrescriptionRequestSchema, articleCase());
      item.requestId = `n${index}`;
      yield { item };
    }
  }
  const seen: string[] = [];
  for await (const { result } of checks.streamCheckPrescriptions(sent())) {
    assert.equal(result?.outcome.case, "response");
    seen.push(result.requestId);
  }
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, index) => `n${index}`));
});

test("connect: health of the server and of each service", async () => {
  const health = createClient(Health, transport);
  for (const service of ["", MedicationSafetyService.typeName, KnowledgeService.typeName]) {
    assert.equal((await health.check({ service })).status, Serving.SERVING, service);
  }
  await assert.rejects(health.check({ service: "no.such.Service" }), (error) => {
    assert(error instanceof ConnectError);
    return error.code === Code.NotFound;
  });
});

test("connect: the details of an error", async () => {
  const request = articleCase();
  request.prescription!.refills = -1;
  await assert.rejects(checks.checkPrescription(request), (error) => {
    assert(error instanceof ConnectError);
    assert.equal(error.code, Code.InvalidArgument);
    assert.deepEqual(error.findDetails(ErrorInfoSchema).map((each) => [each.domain, each.reason]), [
      ["medsafety", "INVALID_FIELD"],
    ]);
    const fields = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations);
    assert.deepEqual(fields.map((each) => each.field), ["prescription.refills"]);
    return true;
  });
});

test("connect: a deadline", async () => {
  const items = Array.from({ length: 1000 }, articleCase);
  await assert.rejects(checks.batchCheckPrescriptions({ items }, { timeoutMs: 5 }), (error) => {
    assert(error instanceof ConnectError);
    return error.code === Code.DeadlineExceeded;
  });
});
