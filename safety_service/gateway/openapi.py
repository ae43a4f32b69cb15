"""The HTTP interface as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from safety_service import __version__
from safety_service.gateway.discovery import HOOKS, PREFETCH, SERVICE_ID
from safety_service.gateway.problems import FHIR_JSON

Object = dict[str, Any]


def openapi(base: str) -> Object:
    """The document served at /openapi.json."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Medication safety gateway",
            "version": __version__,
            "description": "CDS Hooks 2.0 and FHIR R4 in front of the medication safety service. Every error is an "
            "OperationOutcome that names the member at fault.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base}],
        "paths": {
            "/cds-services": {
                "get": {
                    "operationId": "discover",
                    "summary": "The service, its hooks and the queries of its prefetch",
                    "responses": {"200": _json("The services", _DISCOVERY), **_problems(429, 503)},
                }
            },
            "/cds-services/{id}": {
                "parameters": [_ID],
                "post": {
                    "operationId": "callHook",
                    "summary": "Cards for the orders of a call",
                    "requestBody": _body(_HOOK_REQUEST),
                    "responses": {
                        "200": _json("Cards", _HOOK_RESPONSE),
                        **_problems(400, 404, 408, 412, 413, 415, 429, 503),
                    },
                },
            },
            "/cds-services/{id}/feedback": {
                "parameters": [_ID],
                "post": {
                    "operationId": "giveFeedback",
                    "summary": "What was done with cards",
                    "requestBody": _body(_FEEDBACK),
                    "responses": {
                        "200": _json("All of it was kept", {"type": "object"}),
                        **_problems(400, 404, 408, 413, 415, 429, 503),
                    },
                },
            },
            "/fhir/$check": {
                "post": {
                    "operationId": "checkFhir",
                    "summary": "A DetectedIssue for each alert, a GuidanceResponse for what is missing",
                    "requestBody": _body(_PARAMETERS),
                    "responses": {
                        "200": {"description": "A Bundle", "content": {FHIR_JSON: {"schema": _ANSWER_BUNDLE}}},
                        **_problems(400, 408, 413, 415, 429, 503),
                    },
                },
            },
            "/check": {
                "post": {
                    "operationId": "check",
                    "summary": "medsafety.v1 CheckPrescription in the JSON mapping of protobuf; for the page",
                    "requestBody": _body({"type": "object", "required": ["prescription"]}),
                    "responses": {
                        "200": {
                            "description": "The answer as JSON, or as HTML where Accept asks for it",
                            "content": {
                                "application/json": {"schema": {"type": "object", "required": ["decision"]}},
                                "text/html": {"schema": {"type": "string"}},
                            },
                        },
                        **_problems(400, 404, 408, 409, 413, 415, 429, 503),
                    },
                },
            },
        },
        "components": {"schemas": {"OperationOutcome": _OUTCOME}},
    }


_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "enum": [SERVICE_ID]}}
_TEXT = {"type": "string", "minLength": 1}
_BUNDLE: Object = {
    "type": "object",
    "required": ["resourceType", "entry"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "entry": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["resource"],
                "properties": {
                    "resource": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": _TEXT}}
                },
            },
        },
    },
}
_RESOURCE: Object = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": _TEXT}}
_WHO: Object = {"userId": _TEXT, "patientId": _TEXT, "encounterId": _TEXT}
_ORDERS: Object = {
    "title": "order-select, order-sign",
    "type": "object",
    "required": ["userId", "patientId", "draftOrders"],
    "properties": {
        **_WHO,
        "selections": {"type": "array", "minItems": 1, "items": _TEXT},
        "draftOrders": _BUNDLE,
    },
}
_DISPATCH: Object = {
    "title": "order-dispatch",
    "type": "object",
    "required": ["patientId", "dispatchedOrders", "performer"],
    "properties": {
        "patientId": _TEXT,
        "dispatchedOrders": {"type": "array", "minItems": 1, "maxItems": 50, "items": _TEXT},
        "performer": _TEXT,
        "fulfillmentTasks": {"type": "array", "items": _RESOURCE},
    },
}
_REFILL: Object = {
    "title": "medication-refill",
    "type": "object",
    "required": ["patientId", "medications"],
    "properties": {**_WHO, "medications": _BUNDLE},
}
_VERIFY: Object = {
    "title": "medication-verify",
    "type": "object",
    "required": ["userId", "patientId", "medication"],
    "properties": {**_WHO, "medication": _RESOURCE},
}
_HOOK_REQUEST: Object = {
    "type": "object",
    "required": ["hook", "hookInstance", "context"],
    "properties": {
        "hook": {"enum": list(HOOKS)},
        "hookInstance": _TEXT,
        "fhirServer": {"type": "string", "pattern": r"^https?://\S+$"},
        "fhirAuthorization": {
            "type": "object",
            "required": ["access_token", "token_type", "expires_in", "scope", "subject"],
            "properties": {
                "access_token": _TEXT,
                "token_type": {"const": "Bearer"},
                "expires_in": {"type": "integer"},
                "scope": {"type": "string"},
                "subject": _TEXT,
            },
        },
        "context": {"anyOf": [_ORDERS, _DISPATCH, _REFILL, _VERIFY]},
        "prefetch": {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
        "extension": {"type": "object"},
    },
}
_PARAMETERS: Object = {
    "type": "object",
    "required": ["resourceType", "parameter"],
    "properties": {
        "resourceType": {"const": "Parameters"},
        "parameter": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"enum": ["order", "facts", *PREFETCH]},
                    "resource": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": _TEXT}},
                    "part": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                },
            },
        },
    },
}
_ANSWER_BUNDLE: Object = {
    "type": "object",
    "required": ["resourceType", "type", "entry"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "type": {"const": "collection"},
        "entry": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "resource": {
                        "type": "object",
                        "properties": {
                            "resourceType": {"enum": ["DetectedIssue", "GuidanceResponse", "OperationOutcome"]}
                        },
                    }
                },
            },
        },
    },
}
_CODING: Object = {
    "type": "object",
    "required": ["code"],
    "properties": {"code": _TEXT, "system": _TEXT, "display": _TEXT},
}
_FEEDBACK: Object = {
    "type": "object",
    "required": ["feedback"],
    "properties": {
        "feedback": {
            "type": "array",
            "minItems": 1,
            "maxItems": 500,
            "items": {
                "type": "object",
                "required": ["card", "outcome", "outcomeTimestamp"],
                "properties": {
                    "card": _TEXT,
                    "outcome": {"enum": ["accepted", "overridden"]},
                    "acceptedSuggestions": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "object", "required": ["id"], "properties": {"id": _TEXT}},
                    },
                    "overrideReason": {
                        "type": "object",
                        "minProperties": 1,
                        "properties": {"reason": _CODING, "userComment": _TEXT},
                    },
                    "outcomeTimestamp": {"type": "string", "format": "date-time"},
                },
            },
        }
    },
}
_DISCOVERY: Object = {
    "type": "object",
    "required": ["services"],
    "properties": {
        "services": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["hook", "description", "id"],
                "properties": {
                    "hook": _TEXT,
                    "id": _TEXT,
                    "title": _TEXT,
                    "description": _TEXT,
                    "usageRequirements": _TEXT,
                    "prefetch": {"type": "object", "additionalProperties": _TEXT},
                },
            },
        }
    },
}
_CARD: Object = {
    "type": "object",
    "required": ["summary", "indicator", "source"],
    "properties": {
        "uuid": _TEXT,
        "summary": {"type": "string", "minLength": 1, "maxLength": 139},
        "indicator": {"enum": ["info", "warning", "critical"]},
        "detail": _TEXT,
        "source": {"type": "object", "required": ["label"], "properties": {"label": _TEXT, "url": _TEXT}},
        "suggestions": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "selectionBehavior": {"enum": ["at-most-one", "any"]},
        "overrideReasons": {
            "type": "array",
            "minItems": 1,
            "items": {**_CODING, "required": ["code", "system", "display"]},
        },
        "links": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "extension": {"type": "object", "minProperties": 1},
    },
}
_HOOK_RESPONSE: Object = {
    "type": "object",
    "required": ["cards"],
    "properties": {"cards": {"type": "array", "items": _CARD}, "extension": {"type": "object", "minProperties": 1}},
}
_OUTCOME: Object = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["severity", "code"],
                "properties": {
                    "severity": {"enum": ["error", "information"]},
                    "code": _TEXT,
                    "diagnostics": _TEXT,
                    "expression": {"type": "array", "minItems": 1, "items": _TEXT},
                },
            },
        },
    },
}
_PROBLEMS = {
    400: "A member is missing or ill-typed; the issue names it",
    401: "No valid token",
    403: "The caller may not use this service",
    404: "No such service",
    408: "The body came too slowly",
    409: "The knowledge in use is not the one expected",
    412: "An order could not be read, and nothing can be said without it",
    413: "The body is too large",
    415: "The body is of another type",
    429: "Too many calls of this client; try again after Retry-After",
    503: "Too many calls at once, or not kept; try again",
}


def _problems(*statuses: int) -> Object:
    content = {FHIR_JSON: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}}
    return {str(each): {"description": _PROBLEMS[each], "content": content} for each in statuses}


def _json(description: str, schema: Object) -> Object:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(schema: Object) -> Object:
    return {
        "required": True,
        "content": {media_type: {"schema": schema} for media_type in ("application/json", FHIR_JSON)},
    }
