"""Typed client and contract of the medication safety service; depends on nothing of the server.

`MedsafetyClient` blocks, `AsyncMedsafetyClient` is for asyncio. The messages of the contract are in
`medsafety.v1`, one module per noun; the two that every caller needs are also here.
"""

from medsafety.aio import AsyncMedsafetyClient
from medsafety.client import MedsafetyClient
from medsafety.credentials import tls_credentials, token_file
from medsafety.errors import ItemError, MedsafetyError, Violation
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest, CheckPrescriptionResponse

__all__ = [
    "AsyncMedsafetyClient",
    "CheckPrescriptionRequest",
    "CheckPrescriptionResponse",
    "ItemError",
    "MedsafetyClient",
    "MedsafetyError",
    "Violation",
    "tls_credentials",
    "token_file",
]
