/** The client. */

import { once } from "node:events";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import {
  BATCH_MS,
  CHANNEL_OPTIONS,
  CHECK_MS,
  STREAM_MS,
  checkSecrecy,
  metadataOf,
  type Token,
} from "./connection.js";
import { answerOrError, errorOfCall, type ItemError } from "./errors.js";
import type { CareOption, PainPhase } from "./gen/medsafety/v1/care_pb.js";
import {
  FeedbackService,
  type FeedbackSchema,
  type SummarizeAlertsRequestSchema,
  type SummarizeAlertsResponse,
} from "./gen/medsafety/v1/feedback_service_pb.js";
import type { MedicationLine, Rule, RuleKind, Source } from "./gen/medsafety/v1/knowledge_pb.js";
import {
  KnowledgeService,
  type GetCareOptionResponse,
  type GetKnowledgeResponse,
  type GetMedicationResponse,
  type GetRuleResponse,
  type ResolveMedicationResponse,
} from "./gen/medsafety/v1/knowledge_service_pb.js";
import type { MedicationSchema } from "./gen/medsafety/v1/medication_pb.js";
import {
  MedicationSafetyService,
  type CheckPrescriptionRequestSchema,
  type CheckPrescriptionResponse,
  type StreamCheckPrescriptionsResponse,
} from "./gen/medsafety/v1/medication_safety_service_pb.js";

/** A request, as a message or as a plain object of its fields. */
export type CheckPrescriptionInit = MessageInitShape<typeof CheckPrescriptionRequestSchema>;

/** How the server is reached, and how long it is waited for where a call does not say otherwise. */
export interface ClientOptions {
  /** For TLS, what `grpc.credentials.createSsl()` returns; with key and certificate, mutual TLS. Not given: no TLS. */
  readonly credentials?: grpc.ChannelCredentials;
  /** Who calls, for a server that asks: a token, or what gives one. Without TLS it goes to this machine only. */
  readonly token?: Token;
  /** Milliseconds for a single call: 2,000. */
  readonly timeoutMs?: number;
  /** Milliseconds for `checkBatch`: 30,000. */
  readonly batchTimeoutMs?: number;
  /** Milliseconds for a whole `checkStream`: 600,000. */
  readonly streamTimeoutMs?: number;
  /** Further options of the channel, as @grpc/grpc-js has them. */
  readonly channel?: grpc.ChannelOptions;
}

/** What one call may say of itself. */
export interface CallOptions {
  /** Milliseconds until the call is given up with DEADLINE_EXCEEDED. */
  readonly timeoutMs?: number;
  /** Ends the call with CANCELLED. */
  readonly signal?: AbortSignal;
}

/**
 * Asks a medication safety server; keeps one connection.
 *
 * What is not sent is not known, and what cannot be decided without it is answered NOT_EVALUATED: look at
 * `decision.overall` and `decision.complete`, not only at the alerts.
 *
 * Every call has a deadline and throws MedsafetyError when it is not answered. Calls that find the server UNAVAILABLE
 * are sent again, at most three times and within the deadline (clients/retry-policy.json); nothing else is.
 */
export class MedsafetyClient {
  readonly #client: grpc.Client;
  readonly #token: Token | undefined;
  readonly #timeoutMs: number;
  readonly #batchTimeoutMs: number;
  readonly #streamTimeoutMs: number;

  /**
   * @param target `host:port`, or another gRPC name such as `unix:/run/medsafety.sock`.
   * @throws TypeError if a token would go over a network without TLS.
   */
  constructor(target: string, options: ClientOptions = {}) {
    checkSecrecy(target, options.credentials, options.token);
    this.#token = options.token;
    const credentials = options.credentials ?? grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, { ...CHANNEL_OPTIONS, ...options.channel });
    this.#timeoutMs = options.timeoutMs ?? CHECK_MS;
    this.#batchTimeoutMs = options.batchTimeoutMs ?? BATCH_MS;
    this.#streamTimeoutMs = options.streamTimeoutMs ?? STREAM_MS;
  }

  /** Ends the connection; calls that are open on it run to their end. */
  close(): void {
    this.#client.close();
  }

  // --- checks --------------------------------------------------------------------------------------------------------

  /** Checks one prescription. The view is FULL unless the request says otherwise. */
  check(request: CheckPrescriptionInit, options: CallOptions = {}): Promise<CheckPrescriptionResponse> {
    return this.#ask(MedicationSafetyService.method.checkPrescription, request, options);
  }

  /**
   * Checks many prescriptions in one call: one answer for each, in order.
   *
   * A prescription that cannot be answered has an ItemError in its place. A batch above a limit (at most 1000 items,
   * 100 of them FULL; 4 MiB) is refused as a whole. The view is BRIEF unless a request says otherwise.
   */
  async checkBatch(
    requests: Iterable<CheckPrescriptionInit>,
    options: CallOptions = {},
  ): Promise<(CheckPrescriptionResponse | ItemError)[]> {
    const answer = await this.#ask(
      MedicationSafetyService.method.batchCheckPrescriptions,
      { items: [...requests] },
      { timeoutMs: this.#batchTimeoutMs, ...options },
    );
    return answer.items.map((result, index) => answerOrError(index, result));
  }

  /**
   * Checks prescriptions as they come: yields one answer for each, in order, without limit of number.
   *
   * `requests` is read as fast as the server takes them. A prescription that cannot be answered has an ItemError in
   * its place, and the stream goes on. When the stream itself ends early, as when the server stops, MedsafetyError is
   * thrown after the last answer; what was not answered can be asked again. What `requests` itself throws is thrown
   * here, after the answers to what came before. Stop early by leaving the loop.
   */
  async *checkStream(
    requests: Iterable<CheckPrescriptionInit> | AsyncIterable<CheckPrescriptionInit>,
    options: CallOptions = {},
  ): AsyncGenerator<CheckPrescriptionResponse | ItemError, void, undefined> {
    const method = MedicationSafetyService.method.streamCheckPrescriptions;
    const { timeoutMs = this.#streamTimeoutMs, signal } = options;
    const deadline = Date.now() + timeoutMs;
    const metadata = await metadataOf(this.#token);
    const call = this.#client.makeBidiStreamRequest(
      path(method),
      asItIs,
      (read) => fromBinary(method.output, read),
      metadata,
      { deadline },
    );
    call.on("error", () => undefined); // the loop below sees it; one that comes after the loop has no other listener
    const ended = new AbortController();
    const onAbort = () => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();

    let broken: { readonly error: unknown } | undefined;
    const send = async () => {
      try {
        for await (const item of requests) {
          if (ended.signal.aborted) return;
          const taken = call.write(written(method.input, { item }));
          if (!taken) await once(call, "drain", { signal: ended.signal });
        }
      } catch (error) {
        if (ended.signal.aborted) return; // nobody waits for the rest
        broken = { error };
      }
      call.end();
    };

    void send();
    let index = 0;
    try {
      for await (const answer of call as AsyncIterable<StreamCheckPrescriptionsResponse>) {
        yield answerOrError(index++, answer.result);
      }
    } catch (failed) {
      throw errorOfCall(failed);
    } finally {
      ended.abort();
      signal?.removeEventListener("abort", onAbort);
      call.cancel();
    }
    if (broken) throw broken.error;
  }

  // --- knowledge -----------------------------------------------------------------------------------------------------

  /**
   * Version, digests, review status, and every limit that requests are held to.
   *
   * While the digest stays the same, what the other calls answered may be kept.
   */
  getKnowledge(options: CallOptions = {}): Promise<GetKnowledgeResponse> {
    return this.#ask(KnowledgeService.method.getKnowledge, {}, options);
  }

  /** One medication line ("cyclobenzaprine-ir") with every statement, its verb and its source. */
  getMedication(medicationId: string, options: CallOptions = {}): Promise<GetMedicationResponse> {
    return this.#ask(KnowledgeService.method.getMedication, { medicationId }, options);
  }

  /** What a medication would be recognised as; `matchedBy` unspecified says that it was not. */
  resolveMedication(
    medication: MessageInitShape<typeof MedicationSchema>,
    options: CallOptions = {},
  ): Promise<ResolveMedicationResponse> {
    return this.#ask(KnowledgeService.method.resolveMedication, { medication }, options);
  }

  /** One rule ("hepatic.start-dose"): when it fires, what it says, what it rests on. */
  getRule(ruleId: string, options: CallOptions = {}): Promise<GetRuleResponse> {
    return this.#ask(KnowledgeService.method.getRule, { ruleId }, options);
  }

  /** One non-drug option ("tai-chi") with what each body says of it. */
  getCareOption(optionId: string, options: CallOptions = {}): Promise<GetCareOptionResponse> {
    return this.#ask(KnowledgeService.method.getCareOption, { optionId }, options);
  }

  /** Every medication line, by id. Lists ask for page after page; `timeoutMs` is for each page. */
  async *listMedications(options: CallOptions = {}): AsyncGenerator<MedicationLine, void, undefined> {
    for await (const page of this.#pages(KnowledgeService.method.listMedications, {}, options)) yield* page.medications;
  }

  /** Every rule, or every rule of one kind, by id. */
  async *listRules(kind?: RuleKind, options: CallOptions = {}): AsyncGenerator<Rule, void, undefined> {
    const filter = kind === undefined ? {} : { kind };
    for await (const page of this.#pages(KnowledgeService.method.listRules, filter, options)) yield* page.rules;
  }

  /** Every non-drug option, or those with evidence for one phase, by step of the pathway, then by id. */
  async *listCareOptions(phase?: PainPhase, options: CallOptions = {}): AsyncGenerator<CareOption, void, undefined> {
    const filter = phase === undefined ? {} : { phase };
    const pages = this.#pages(KnowledgeService.method.listCareOptions, filter, options);
    for await (const page of pages) yield* page.careOptions;
  }

  /** Every source, by id. */
  async *listSources(options: CallOptions = {}): AsyncGenerator<Source, void, undefined> {
    for await (const page of this.#pages(KnowledgeService.method.listSources, {}, options)) yield* page.sources;
  }

  // --- feedback ------------------------------------------------------------------------------------------------------

  /**
   * Keeps what was done with alerts, all of it or nothing, and gives the id of each: at most 500 at once.
   *
   * The same feedback sent again changes nothing. A server that keeps no decisions refuses (NOT_KEPT).
   */
  async recordFeedback(
    items: Iterable<MessageInitShape<typeof FeedbackSchema>>,
    options: CallOptions = {},
  ): Promise<string[]> {
    const answer = await this.#ask(FeedbackService.method.recordFeedback, { items: [...items] }, options);
    return answer.feedbackIds;
  }

  /** How often each rule fired, was kept back and was overridden, by site and month ("2026-11"). */
  summarizeAlerts(
    filter: MessageInitShape<typeof SummarizeAlertsRequestSchema> = {},
    options: CallOptions = {},
  ): Promise<SummarizeAlertsResponse> {
    return this.#ask(FeedbackService.method.summarizeAlerts, filter, options);
  }

  async *#pages<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    filter: MessageInitShape<I>,
    options: CallOptions,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.#ask(method, { ...filter, pageToken } as MessageInitShape<I>, options);
      yield page;
      pageToken = (page as MessageShape<O> & { readonly nextPageToken: string }).nextPageToken;
    } while (pageToken);
  }

  async #ask<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs = this.#timeoutMs, signal }: CallOptions,
  ): Promise<MessageShape<O>> {
    const data = written(method.input, request);
    const deadline = Date.now() + timeoutMs;
    const metadata = await metadataOf(this.#token);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path(method),
        asItIs,
        (read) => fromBinary(method.output, read),
        data,
        metadata,
        { deadline },
        (failed, answer) => {
          signal?.removeEventListener("abort", onAbort);
          if (answer === undefined) reject(errorOfCall(failed));
          else resolve(answer);
        },
      );
      const onAbort = () => call.cancel();
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }
}

/** The bytes of a message. Throws what names the field if a value does not fit its type, before anything is sent. */
function written<I extends DescMessage>(schema: I, message: MessageInitShape<I>): Buffer {
  const data = toBinary(schema, create(schema, message));
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function asItIs(data: Buffer): Buffer {
  return data;
}

function path(method: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}
