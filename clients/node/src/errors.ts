/** What can go wrong with a call or with one prescription of many, as typed errors. */

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema, type Status } from "./gen/google/rpc/status_pb.js";
import type { CheckPrescriptionResponse, CheckResult } from "./gen/medsafety/v1/medication_safety_service_pb.js";

const DETAILS_KEY = "grpc-status-details-bin";

/** One thing wrong with a request: `field` is a path such as `prescription.dose_quantity.value`. */
export interface Violation {
  readonly field: string;
  readonly reason: string;
}

interface Told {
  /** The gRPC status. UNAVAILABLE and DEADLINE_EXCEEDED speak of the way to the server; the others of the request. */
  readonly code: grpc.status;
  /** The service's own word for it ("INVALID_FIELD"). Empty: the error does not come from the service itself. */
  readonly reason: string;
  /** One sentence for people; it holds no patient data. */
  readonly text: string;
  /** Every impossible value of the request, by path. Empty unless `reason` is "INVALID_FIELD". */
  readonly violations: readonly Violation[];
  /** How long the server asks to wait, in milliseconds. Undefined: it does not say. */
  readonly retryAfterMs: number | undefined;
}

/** A call was not answered. An alert is an answer, never an error. */
export class MedsafetyError extends Error implements Told {
  override readonly name: string = "MedsafetyError";
  readonly code: grpc.status;
  readonly reason: string;
  readonly text: string;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;

  constructor(told: Told) {
    const lines = [`${told.reason || grpc.status[told.code]}: ${told.text}`];
    super([...lines, ...told.violations.map((each) => `  ${each.field}: ${each.reason}`)].join("\n"));
    this.code = told.code;
    this.reason = told.reason;
    this.text = told.text;
    this.violations = told.violations;
    this.retryAfterMs = told.retryAfterMs;
  }
}

/**
 * One prescription of a batch or stream was not answered; the others were.
 *
 * It stands in the place of the answer and is not thrown. Paths in `violations` begin as in the message that was sent:
 * `items[3].prescription.refills` in a batch, `item.prescription.refills` in a stream.
 */
export class ItemError extends MedsafetyError {
  override readonly name = "ItemError";

  /**
   * @param index Its place among the requests, from 0.
   * @param requestId As sent in the item. Empty: none was sent.
   */
  constructor(
    readonly index: number,
    readonly requestId: string,
    told: Told,
  ) {
    super(told);
  }
}

/** The error that a status tells of; a detail that cannot be read is left out, the status stands. */
export function errorOfStatus(status: Status): MedsafetyError {
  return new MedsafetyError(told(status));
}

/** The answer to item `index` of many, or why there is none. */
export function answerOrError(index: number, result: CheckResult | undefined): CheckPrescriptionResponse | ItemError {
  switch (result?.outcome.case) {
    case "response":
      return result.outcome.value;
    case "error":
      return new ItemError(index, result.requestId, told(result.outcome.value));
    default:
      return new ItemError(index, result?.requestId ?? "", {
        code: grpc.status.UNKNOWN,
        reason: "",
        text: "the server sent neither an answer nor an error",
        violations: [],
        retryAfterMs: undefined,
      });
  }
}

/** The error that a failed call tells of, with its details where the server sent any; another error as it is. */
export function errorOfCall(failed: unknown): Error {
  if (!isServiceError(failed)) return failed instanceof Error ? failed : new Error("the call failed");
  for (const value of failed.metadata?.get(DETAILS_KEY) ?? []) {
    try {
      return errorOfStatus(fromBinary(StatusSchema, Buffer.from(value as Buffer)));
    } catch {
      break; // a proxy's, perhaps: the plain status still stands
    }
  }
  return new MedsafetyError({
    code: failed.code,
    reason: "",
    text: failed.details || "no details",
    violations: [],
    retryAfterMs: undefined,
  });
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && typeof (error as Partial<grpc.ServiceError>).code === "number";
}

function told(status: Status): Told {
  let reason = "";
  let violations: readonly Violation[] = [];
  let retryAfterMs: number | undefined;
  for (const detail of status.details) {
    const info = unpacked(() => anyUnpack(detail, ErrorInfoSchema));
    const bad = unpacked(() => anyUnpack(detail, BadRequestSchema));
    const retry = unpacked(() => anyUnpack(detail, RetryInfoSchema));
    if (info) reason = info.reason;
    if (bad) violations = bad.fieldViolations.map((each) => ({ field: each.field, reason: each.description }));
    if (retry?.retryDelay) retryAfterMs = Number(retry.retryDelay.seconds) * 1e3 + retry.retryDelay.nanos / 1e6;
  }
  const known = grpc.status[status.code] !== undefined && status.code !== grpc.status.OK;
  return { code: known ? status.code : grpc.status.UNKNOWN, reason, text: status.message, violations, retryAfterMs };
}

function unpacked<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

