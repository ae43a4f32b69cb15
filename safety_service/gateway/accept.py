"""The input checks of the contract, for a door that must not refuse a whole call for one odd value.

There is one definition of what is possible: `server.decode`. What it refuses is taken out here, named, and then not
known, so that the rest is still checked.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.domain import CheckRequest, NotProcessed
from safety_service.server.decode import InvalidRequestError, decode

_ROUNDS = 8  # each takes out at least one value; more are never needed but for a fault of this module
_STEP = re.compile(r"([a-z_]+)(?:\[(\d+)\])?")


def accepted(sent: CheckPrescriptionRequest, today: int) -> CheckRequest:
    """What is asked, without what is impossible in it; `sent` is changed.

    Raises InvalidRequestError when nothing is left to ask, as for an order without a medication.
    """
    refused: list[NotProcessed] = []
    for _ in range(_ROUNDS):
        try:
            request = decode(sent, today).request
        except InvalidRequestError as error:
            taken_out = [_take_out(sent, path) for path, _ in error.violations]
            if not any(taken_out):
                raise
            refused += [NotProcessed(path, f"not used: {reason}") for path, reason in error.violations]
        else:
            if not refused:
                return request
            return replace(request, not_processed=(*refused, *request.not_processed))
    raise InvalidRequestError([("prescription", "holds values that cannot be used")], False)


def _take_out(sent: Message, path: str) -> bool:
    """Clears the field at a path of the contract; False when there is nothing to clear, as where it is required."""
    holder: Any = sent
    steps = _STEP.findall(path)
    for name, index in steps[:-1]:
        holder = getattr(holder, name)
        if index:
            holder = holder[int(index)]
    name, index = steps[-1]
    if index:
        del getattr(holder, name)[int(index)]
        return True
    field = holder.DESCRIPTOR.fields_by_name[name]
    if not field.is_repeated and (field.message_type is not None or field.has_presence):
        present = holder.HasField(name)
    else:
        present = bool(getattr(holder, name))
    holder.ClearField(name)
    if name == "items":
        holder.ClearField("completeness")  # an emptied list must not say that there is none
    return present and path != "prescription.medication"
