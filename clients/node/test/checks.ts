/** What a caller of the client sees of the real server. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { clone } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";

import {
  CheckPrescriptionRequestSchema,
  ItemError,
  MedsafetyClient,
  MedsafetyError,
  type CheckPrescriptionInit,
  type CheckPrescriptionResponse,
} from "../src/index.js";
import { FeedbackOutcome } from "../src/gen/medsafety/v1/feedback_service_pb.js";
import { RuleKind } from "../src/gen/medsafety/v1/knowledge_pb.js";
import { CheckStatus, Overall } from "../src/gen/medsafety/v1/decision_pb.js";
import { View } from "../src/gen/medsafety/v1/common_pb.js";
import { articleCase, MAX_WAITING, target } from "./server.js";

const client = new MedsafetyClient(target, { timeoutMs: 30_000 });

after(() => client.close());

function answered(each: CheckPrescriptionResponse | ItemError | undefined): CheckPrescriptionResponse {
  assert(each !== undefined && !(each instanceof ItemError), String(each));
  return each;
}

function unanswered(each: CheckPrescriptionResponse | ItemError | undefined): ItemError {
  assert(each instanceof ItemError);
  return each;
}

async function refusal(work: Promise<unknown>): Promise<MedsafetyError> {
  const failed = await work.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  );
  assert(failed instanceof MedsafetyError, String(failed));
  return failed;
}

async function all<T>(each: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of each) found.push(one);
  return found;
}

function numbered(count: number): CheckPrescriptionInit[] {
  const article = articleCase();
  return Array.from({ length: count }, (_, index) => {
    const each = clone(CheckPrescriptionRequestSchema, article);
    each.requestId = `n${index}`;
    return each;
  });
}

// --- answers ---------------------------------------------------------------------------------------------------------

test("the article's case comes back with its alerts, what was not checked, and the sources", async () => {
  const { decision } = await client.check(articleCase());
  assert.equal(decision?.overall, Overall.ALERTS);
  assert.equal(decision.complete, false);
  const course = decision.alerts.find((each) => each.ruleId === "duration.course");
  assert(course, "the duration alert");
  assert.match(course.title, /^28 days planned/);
  assert.deepEqual(course.durCodes, ["MX"]);
  assert(course.citations.length > 0);
  const open = decision.checks.filter((each) => each.status === CheckStatus.NOT_EVALUATED);
  assert(open.some((each) => each.missing.some((field) => field.path === "patient.alcohol_use")));
});

test("a plain object is a request, and what it does not hold is not known", async () => {
  const { decision, requestId } = await client.check({
    requestId: "plain",
    prescription: { medication: { text: "Cyclobenzaprine 10 mg tablet" }, daysSupply: 28, refills: 0 },
  });
  assert.equal(requestId, "plain");
  assert(decision?.alerts.some((each) => each.ruleId === "duration.course"));
  assert((decision?.counts?.notEvaluated ?? 0) > 5);
});

test("the same request gives the same decision alone, in a batch and in a stream", async () => {
  const request = articleCase();
  request.view = View.FULL;
  const alone = await client.check(request);
  const [inBatch] = await client.checkBatch([request]);
  for await (const inStream of client.checkStream([request])) {
    assert.deepEqual(answered(inStream).decision, alone.decision);
  }
  assert.deepEqual(answered(inBatch).decision, alone.decision);
});

test("a batch answers each in order, and a bad item in its own place", async () => {
  const requests = numbered(50);
  requests[7]!.prescription!.daysSupply = -1;
  const answers = await client.checkBatch(requests);
  assert.equal(answers.length, 50);
  answers.forEach((each, index) => assert.equal(each.requestId, `n${index}`));
  const bad = unanswered(answers[7]);
  assert.equal(bad.index, 7);
  assert.equal(bad.reason, "INVALID_FIELD");
  assert.deepEqual(bad.violations.map((each) => each.field), ["items[7].prescription.days_supply"]);
  assert.equal(answers.filter((each) => each instanceof ItemError).length, 1);
});

test("a stream answers each in order, outlives a bad item, and reads as it goes", async () => {
  async function* requests(): AsyncGenerator<CheckPrescriptionInit> {
    for (const each of numbered(300)) {
      if (each.requestId === "n8") each.prescription!.refills = -1;
      yield each;
    }
  }
  let index = 0;
  for await (const each of client.checkStream(requests())) {
    assert.equal(each.requestId, `n${index}`);
    assert.equal(each instanceof ItemError, index === 8);
    if (index === 8) {
      assert.deepEqual(unanswered(each).violations.map((bad) => bad.field), ["item.prescription.refills"]);
    }
    index += 1;
  }
  assert.equal(index, 300);
});

test("an answer does not wait for the next request of a stream", async () => {
  let ask: (request: CheckPrescriptionInit | undefined) => void = () => undefined;
  const next = () => new Promise<CheckPrescriptionInit | undefined>((resolve) => (ask = resolve));
  let waiting = next();
  async function* requests(): AsyncGenerator<CheckPrescriptionInit> {
    for (let each = await waiting; each !== undefined; each = await waiting) {
      waiting = next();
      yield each;
    }
  }
  const answers = client.checkStream(requests());
  for (const request of numbered(3)) {
    const answer = answers.next();
    ask(request);
    assert.equal(answered((await answer).value ?? undefined).requestId, request.requestId);
    await new Promise(setImmediate);
  }
  const end = answers.next();
  ask(undefined);
  assert.equal((await end).done, true);
});

test("the knowledge is read page after page", async () => {
  const { counts, limits } = await client.getKnowledge();
  const rules = await all(client.listRules());
  assert(rules.length > 50, "more than one page");
  assert.equal(rules.length, counts?.rules);
  assert(limits.length > 5);
  const duration = await all(client.listRules(RuleKind.DURATION));
  assert(duration.length > 0 && duration.length < rules.length);
  assert((await all(client.listMedications())).length >= 10);
  assert((await all(client.listCareOptions())).length > 5);
  assert((await all(client.listSources())).length > 5);
  assert.equal((await client.getRule("hepatic.start-dose")).rule?.id, "hepatic.start-dose");
  assert.equal((await client.getMedication("cyclobenzaprine-ir")).medication?.id, "cyclobenzaprine-ir");
  assert.equal((await client.getCareOption("tai-chi")).careOption?.id, "tai-chi");
  const { resolved } = await client.resolveMedication({ text: "Flexeril 10mg tablet" });
  assert.notEqual(resolved?.matchedBy, 0);
});

test("what was done with an alert is kept, once", async () => {
  const { alertIds } = await client.check(articleCase());
  const done = {
    alertId: alertIds[0]!,
    outcome: FeedbackOutcome.OVERRIDDEN,
    reason: { system: "urn:reasons", code: "benefit" },
  };
  const ids = await client.recordFeedback([done, done]);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
  assert.deepEqual(await client.recordFeedback([done]), [ids[0]]);
  const nobodys = await refusal(client.recordFeedback([{ ...done, alertId: "no uuid" }]));
  assert.deepEqual(nobodys.violations.map((each) => each.field), ["items[0].alert_id"]);
  const month = await refusal(client.summarizeAlerts({ fromMonth: "November" }));
  assert.deepEqual(month.violations.map((each) => each.field), ["from_month"]);
});

// --- errors ----------------------------------------------------------------------------------------------------------

test("a refusal names every field and the reason", async () => {
  const request = articleCase();
  request.prescription!.daysSupply = -1;
  request.prescription!.refills = -1;
  const failed = await refusal(client.check(request));
  assert.equal(failed.code, status.INVALID_ARGUMENT);
  assert.equal(failed.reason, "INVALID_FIELD");
  assert.deepEqual(
    failed.violations.map((each) => each.field).sort(),
    ["prescription.days_supply", "prescription.refills"],
  );
  assert(failed.violations.every((each) => each.reason.length > 0 && failed.message.includes(each.reason)));
  assert.equal(failed.retryAfterMs, undefined);
});

test("the service's own reasons come through", async () => {
  const policy = await refusal(client.check({ ...articleCase(), policy: "nobody's" }));
  assert.deepEqual([policy.code, policy.reason], [status.NOT_FOUND, "UNKNOWN_POLICY"]);
  const digest = await refusal(client.check({ ...articleCase(), expectedKnowledgeDigest: "other" }));
  assert.deepEqual([digest.code, digest.reason], [status.FAILED_PRECONDITION, "KNOWLEDGE_MISMATCH"]);
  const many = await refusal(client.checkBatch(numbered(1001)));
  assert.deepEqual([many.code, many.reason], [status.INVALID_ARGUMENT, "TOO_MANY_ITEMS"]);
  const rule = await refusal(client.getRule("no.such-rule"));
  assert.deepEqual([rule.code, rule.reason], [status.NOT_FOUND, "NOT_FOUND"]);
});

test("a server with too much to do says when to try again", async () => {
  const requests = numbered(100);
  const calls = Array.from({ length: MAX_WAITING + 8 }, () => client.checkBatch(requests));
  const outcomes = await Promise.allSettled(calls);
  const refused = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
  assert(refused.length > 0, "none was refused");
  for (const each of refused) {
    assert(each instanceof MedsafetyError);
    assert.deepEqual([each.code, each.reason], [status.RESOURCE_EXHAUSTED, "OVERLOADED"]);
    assert(each.retryAfterMs !== undefined && each.retryAfterMs > 0);
  }
  answered((await client.checkBatch([articleCase()]))[0]);
});

test("a value that does not fit is refused with its field before anything is sent", async () => {
  await assert.rejects(client.check({ prescription: { daysSupply: 1.5 } }), /days_supply/);
  const answers = client.checkStream([articleCase(), { prescription: { refills: 2.5 } }]);
  answered((await answers.next()).value ?? undefined);
  await assert.rejects(answers.next(), /refills/);
});

test("what the requests of a stream throw is thrown after the answers to what came before", async () => {
  function* requests(): Generator<CheckPrescriptionInit> {
    yield* numbered(3);
    throw new RangeError("no more");
  }
  const seen: string[] = [];
  await assert.rejects(
    async () => {
      for await (const each of client.checkStream(requests())) seen.push(each.requestId);
    },
    { name: "RangeError", message: "no more" },
  );
  assert.deepEqual(seen, ["n0", "n1", "n2"]);
});

// --- deadlines and cancelling ----------------------------------------------------------------------------------------

test("a call ends at its deadline, and the next one is answered", async () => {
  const failed = await refusal(client.checkBatch(numbered(1000), { timeoutMs: 5 }));
  assert.equal(failed.code, status.DEADLINE_EXCEEDED);
  assert.equal(failed.reason, "");
  answered(await client.check(articleCase()));
});

test("a signal cancels a call", async () => {
  const stop = new AbortController();
  const call = client.checkBatch(numbered(1000), { signal: stop.signal });
  setTimeout(() => stop.abort(), 5);
  assert.equal((await refusal(call)).code, status.CANCELLED);
  assert.equal((await refusal(client.check(articleCase(), { signal: AbortSignal.abort() }))).code, status.CANCELLED);
  answered(await client.check(articleCase()));
});

test("leaving the loop ends a stream, and so does a signal", async () => {
  let asked = 0;
  let returned = false;
  async function* endless(): AsyncGenerator<CheckPrescriptionInit> {
    try {
      for (;;) {
        asked += 1;
        yield articleCase();
      }
    } finally {
      returned = true;
    }
  }
  for await (const each of client.checkStream(endless())) {
    answered(each);
    break;
  }
  for (let turns = 0; !returned && turns < 1000; turns += 1) await new Promise((go) => setTimeout(go, 5));
  assert(returned, "the requests are still being read");
  assert(asked < 100_000);

  const stop = new AbortController();
  const failed = refusal(
    (async () => {
      for await (const each of client.checkStream(endless(), { signal: stop.signal })) {
        answered(each);
        stop.abort();
      }
    })(),
  );
  assert.equal((await failed).code, status.CANCELLED);
  answered(await client.check(articleCase()));
});
