"""Events in the forms that other systems read. Pure: an event in, a JSON object out.

* OCSF 1.6.0 (schema.ocsf.io/1.6.0), class API Activity (6003): what a SIEM ingests.
* CloudEvents 1.0.2 (github.com/cloudevents/spec, v1.0.2), JSON format: what an event bus carries.

Neither is what was hashed: they are for reading, and the ledger beside them is for proving. What a form has no place for stands
whole under ``unmapped`` (OCSF) or ``data`` (CloudEvents), so nothing is lost on the way.
"""

from __future__ import annotations

from typing import Any

from weighbridge.domain.instant import parse_instant
from weighbridge.ledger.record import Event

OCSF_VERSION = "1.6.0"
CLOUDEVENTS_VERSION = "1.0"  # what 1.0.2 has in `specversion`

_CATEGORY_APPLICATION, _CLASS_API_ACTIVITY, _ACTIVITY_OTHER = 6, 6003, 99
_INFORMATIONAL, _LOW, _MEDIUM = 1, 2, 3
_SEVERITY = {"ALLOW": _INFORMATIONAL, "WARN": _LOW, "BLOCK": _MEDIUM}
_STATUS_UNKNOWN, _STATUS_SUCCESS, _STATUS_FAILURE = 0, 1, 2
_STATUS = {"ALLOW": _STATUS_SUCCESS, "WARN": _STATUS_SUCCESS, "BLOCK": _STATUS_FAILURE}
_TYPE_PREFIX = "weighbridge."
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, section 2.3


def plain(event: Event) -> dict[str, Any]:
    """Return an event as it is read: ``{seq, index, type, ...what it says}``."""
    return {"seq": event.seq, "index": event.index, "type": event.type, **event.fields}


def ocsf(event: Event) -> dict[str, Any]:
    """Return an event as OCSF API Activity.

    Where a request came from is not on record; its caller stands for it in ``src_endpoint``.
    """
    said = event.fields
    verdict = str(said.get("result", ""))
    made: dict[str, Any] = {
        "activity_id": _ACTIVITY_OTHER,
        "activity_name": event.type,
        "category_uid": _CATEGORY_APPLICATION,
        "class_uid": _CLASS_API_ACTIVITY,
        "type_uid": _CLASS_API_ACTIVITY * 100 + _ACTIVITY_OTHER,
        "severity_id": _SEVERITY.get(verdict, _INFORMATIONAL),
        "time": parse_instant(said.get("evaluation_time")) or 0,
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "Weighbridge", "vendor_name": "Weighbridge"},
            "uid": _uid(event),
            "tenant_uid": said.get("tenant_id", ""),
            "event_code": event.type,
        },
        "actor": _ocsf_actor(said),
        "api": {"operation": str(said.get("operation") or event.type), "service": {"name": "weighbridge"}},
        "src_endpoint": {"uid": _caller(said)},
        "status_id": _STATUS.get(verdict, _STATUS_UNKNOWN),
        "unmapped": plain(event),
    }
    if verdict:
        made["status"] = verdict
    if isinstance(said.get("reason"), str):
        made["status_detail"] = said["reason"]
    return made


def cloudevent(event: Event) -> dict[str, Any]:
    """Return an event as a CloudEvent. ``source`` and ``id`` together are unique, as the specification asks."""
    said = event.fields
    made: dict[str, Any] = {
        "specversion": CLOUDEVENTS_VERSION,
        "id": f"{event.seq}.{event.index}",
        "source": f"/weighbridge/tenants/{_quoted(str(said.get('tenant_id', '')))}",
        "type": _TYPE_PREFIX + event.type.lower(),
        "datacontenttype": "application/json",
        "data": plain(event),
    }
    if said.get("evaluation_time"):
        made["time"] = said["evaluation_time"]
    subject = said.get("operation_id") or said.get("validation_run_id") or said.get("target_id")
    if subject:
        made["subject"] = str(subject)
    return made


def _quoted(text: str) -> str:
    """Return ``text`` as one segment of a URI reference (RFC 3986, section 2.1)."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def _uid(event: Event) -> str:
    return f"{event.fields.get('tenant_id', '')}/{event.seq}/{event.index}"


def _caller(said: dict[str, Any]) -> str:
    for who in ("principal", "actor"):
        found = said.get(who)
        if isinstance(found, dict) and found.get("id"):
            return str(found["id"])
    return "unknown"


def _ocsf_actor(said: dict[str, Any]) -> dict[str, Any]:
    actor = said.get("actor")
    name = str(actor.get("id") or "unknown") if isinstance(actor, dict) else "unknown"
    return {"user": {"uid": name, "name": name}}


FORMS = {"weighbridge": plain, "ocsf": ocsf, "cloudevents": cloudevent}
"""Each form by the name that people choose it by."""
