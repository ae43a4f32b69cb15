/**
 * Typed client and contract of the medication safety service.
 *
 * The messages of the contract are in `medsafety/v1/...`, one module per noun (`medsafety/v1/patient`); those that
 * every caller needs are also here.
 */

export { MedsafetyClient } from "./client.js";
export type { CallOptions, CheckPrescriptionInit, ClientOptions } from "./client.js";
export type { Token } from "./connection.js";
export { ItemError, MedsafetyError } from "./errors.js";
export type { Violation } from "./errors.js";
export {
  CheckPrescriptionRequestSchema,
  CheckPrescriptionResponseSchema,
  MedicationSafetyService,
} from "./gen/medsafety/v1/medication_safety_service_pb.js";
export type {
  CheckPrescriptionRequest,
  CheckPrescriptionResponse,
} from "./gen/medsafety/v1/medication_safety_service_pb.js";
export { KnowledgeService } from "./gen/medsafety/v1/knowledge_service_pb.js";
export { FeedbackService } from "./gen/medsafety/v1/feedback_service_pb.js";
