"""Domain values as messages, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf import timestamp_pb2
from google.rpc import code_pb2

from parley.identity.v1 import audit_pb2, identity_pb2, keys_pb2, tokens_pb2, usage_pb2
from services.identity.audit import Entry, Filter, Outcome
from services.identity.caller import Origin
from services.identity.grants import Grant
from services.identity.keys import Key
from services.identity.logins import LoggedIn
from services.identity.organisations import Organisation
from services.identity.scopes import Role, scopes_of
from services.identity.tables import micros
from services.identity.usage import Record, Sum
from services.identity.users import Kind, User

KINDS = {
    Kind.PERSON: identity_pb2.USER_KIND_PERSON,
    Kind.SERVICE_ACCOUNT: identity_pb2.USER_KIND_SERVICE_ACCOUNT,
}
ROLES = {
    Role.VIEWER: identity_pb2.ROLE_VIEWER,
    Role.MEMBER: identity_pb2.ROLE_MEMBER,
    Role.ADMIN: identity_pb2.ROLE_ADMIN,
    Role.OPERATOR: identity_pb2.ROLE_OPERATOR,
}
OUTCOMES = {
    Outcome.DONE: audit_pb2.OUTCOME_DONE,
    Outcome.ALLOWED: audit_pb2.OUTCOME_ALLOWED,
    Outcome.DENIED: audit_pb2.OUTCOME_DENIED,
    Outcome.FAILED: audit_pb2.OUTCOME_FAILED,
}
UNITS = {
    "requests": usage_pb2.USAGE_UNIT_REQUESTS,
    "tokens": usage_pb2.USAGE_UNIT_TOKENS,
    "audio_seconds": usage_pb2.USAGE_UNIT_AUDIO_SECONDS,
    "megapixel_steps": usage_pb2.USAGE_UNIT_MEGAPIXEL_STEPS,
    "rows": usage_pb2.USAGE_UNIT_ROWS,
}
DIMENSIONS = {
    usage_pb2.USAGE_DIMENSION_DAY: "day",
    usage_pb2.USAGE_DIMENSION_USER: "user_id",
    usage_pb2.USAGE_DIMENSION_API_KEY: "key_id",
    usage_pb2.USAGE_DIMENSION_SERVICE: "service",
    usage_pb2.USAGE_DIMENSION_MODEL: "model",
}
_KINDS = {number: kind for kind, number in KINDS.items()}
_ROLES = {number: role for role, number in ROLES.items()}
_ENDINGS = {
    code_pb2.OK: Outcome.DONE,
    code_pb2.PERMISSION_DENIED: Outcome.DENIED,
    code_pb2.UNAUTHENTICATED: Outcome.DENIED,
}
"""By google.rpc.Code; the others are failures."""
_OUTCOMES = {number: outcome for outcome, number in OUTCOMES.items()}
_UNITS = {number: unit for unit, number in UNITS.items()}


def identifier(name: str) -> str:
    """`users/lan` → `lan`; nothing stays nothing."""
    return name.partition("/")[2]


def name(collection: str, value: str) -> str:
    """`lan` → `users/lan`; nothing stays nothing."""
    return f"{collection}/{value}" if value else ""


def timestamp(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A moment."""
    if moment is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def from_timestamp(message: timestamp_pb2.Timestamp) -> datetime:
    """A moment."""
    return message.ToDatetime(tzinfo=UTC)


def user(value: User) -> identity_pb2.User:
    """A user."""
    return identity_pb2.User(
        name=name("users", value.id),
        kind=KINDS[value.kind],
        display_name=value.display_name,
        email=value.email,
        roles=[ROLES[role] for role in value.roles],
        tier=value.tier,
        disabled=value.disabled,
        create_time=timestamp(value.create_time),
        organisation=name("organisations", value.organisation),
        scopes=sorted(scopes_of(value.roles)),
    )


def from_kind(number: int) -> Kind:
    """A kind of user; a person where none is said."""
    return _KINDS.get(number, Kind.PERSON)  # type: ignore[call-overload, no-any-return]  # enums are ints


def from_roles(numbers: Iterable[int]) -> list[Role]:
    """Roles."""
    return [_ROLES[number] for number in numbers]  # type: ignore[index]  # enums are ints


def organisation(value: Organisation) -> identity_pb2.Organisation:
    """An organisation."""
    return identity_pb2.Organisation(
        name=name("organisations", value.id),
        display_name=value.display_name,
        tier=value.tier,
        restrict_databases=value.restrict_databases,
        restrict_models=value.restrict_models,
        disabled=value.disabled,
        create_time=timestamp(value.create_time),
    )


def grant(value: Grant) -> identity_pb2.Grant:
    """A grant."""
    return identity_pb2.Grant(
        name=name("grants", value.id),
        subject=value.subject,
        resource=value.resource,
        database_role=value.database_role,
        session_settings=[
            identity_pb2.SessionSetting(name=key, value=text) for key, text in value.session_settings.items()
        ],
        create_time=timestamp(value.create_time),
    )


def from_grant(message: identity_pb2.Grant) -> Grant:
    """A grant to be made."""
    settings = {setting.name: setting.value for setting in message.session_settings}
    return Grant(message.subject, message.resource, message.database_role, settings)


def key(value: Key) -> keys_pb2.ApiKey:
    """An API key."""
    return keys_pb2.ApiKey(
        name=name("apiKeys", value.id),
        user=name("users", value.user),
        display_name=value.display_name,
        scopes=value.scopes,
        expire_time=timestamp(value.expire_time),
        prefix=value.prefix,
        create_time=timestamp(value.create_time),
        revoke_time=timestamp(value.revoke_time),
        last_used_time=timestamp(value.last_used_time),
    )


def tokens(value: LoggedIn) -> tokens_pb2.Tokens:
    """Tokens of a session."""
    message = tokens_pb2.Tokens(
        access_token=value.access_token,
        refresh_token=value.session.refresh_token,
        session_expire_time=timestamp(value.session.expire_time),
        user=name("users", value.session.user),
        organisation=name("organisations", value.session.organisation),
    )
    message.expires_in.FromSeconds(value.expires_in)
    return message


def entry(value: Entry) -> audit_pb2.AuditEntry:
    """An audit entry."""
    return audit_pb2.AuditEntry(
        number=value.number,
        time=timestamp(value.moment),
        actor=name("users", value.actor),
        api_key=name("apiKeys", value.key_id),
        action=value.action,
        resource=value.resource,
        outcome=OUTCOMES[value.outcome],
        address=value.origin.address,
        request_id=value.origin.request_id,
        detail=value.detail,
    )


def from_filter(message: audit_pb2.AuditFilter) -> Filter:
    """Which entries."""
    return Filter(
        actor=identifier(message.actor),
        action=message.action,
        resource=message.resource,
        outcome=_OUTCOMES.get(message.outcome),
        start=from_timestamp(message.start_time) if message.HasField("start_time") else None,
        end=from_timestamp(message.end_time) if message.HasField("end_time") else None,
    )


def from_act(message: audit_pb2.Act) -> Entry:
    """A call that a service answered."""
    organisation_id, _, user_id = message.subject.partition("/")
    return Entry(
        organisation_id,
        user_id,
        message.method,
        message.resource,
        _ENDINGS.get(message.code, Outcome.FAILED),
        code_pb2.Code.Name(message.code) if message.code else "",
        message.api_key,
        Origin(message.address, message.request_id),
        micros(from_timestamp(message.time)) if message.HasField("time") else 0,
    )


def from_record(message: usage_pb2.UsageRecord) -> Record:
    """Something that was used."""
    organisation_id, _, user_id = message.subject.partition("/")
    return Record(
        organisation_id,
        user_id,
        message.api_key,
        message.service,
        message.model,
        _UNITS[message.unit],
        message.amount,
        from_timestamp(message.time) if message.HasField("time") else None,
    )


def usage_sum(value: Sum) -> usage_pb2.UsageSum:
    """A sum."""
    return usage_pb2.UsageSum(
        day=value.values.get("day", ""),
        user=name("users", value.values.get("user_id", "")),
        api_key=name("apiKeys", value.values.get("key_id", "")),
        service=value.values.get("service", ""),
        model=value.values.get("model", ""),
        unit=UNITS[value.unit],
        amount=value.amount,
    )
