"""envoy.service.auth.v3.Authorization: the gateway asks whether a request may pass, and gets identity headers for it.

Refusals come in the dialect of who is refused: OpenAI's envelope below /v1, a detail below /sdapi (as the Stable
Diffusion web UI), a google.rpc.Status everywhere else; of a gRPC call Envoy makes a gRPC status, whose details travel
in a header.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

from google.protobuf import json_format
from google.rpc import code_pb2, status_pb2

from ext_authz.v3 import external_auth_pb2 as pb
from ext_authz.v3 import external_auth_pb2_grpc
from services.identity import metrics
from services.identity.caller import Origin
from services.identity.callers import Context
from services.identity.decision import Allowed, Attempt, Decision, Vouched
from services.identity.errors import LimitReached, NoSuchMethod
from services.identity.limits import Remaining
from services.mesh import errors, openai, status
from services.mesh.context import ADDRESS, IDENTITY_PREFIX, REQUEST_ID
from services.mesh.interceptors import STATUS_DETAILS
from services.mesh.server import Bound

CREDENTIALS = ("authorization", "x-api-key")
ORIGINAL_PATH = "x-envoy-original-path"
WEB_UI = ("/sdapi/", "/controlnet/")
"""Paths of the Stable Diffusion web UI's API."""
TOKEN_PAYLOAD = "x-parley-token-payload"  # noqa: S105 — a header, no secret
"""What a token of a further issuer says, from the gateway's own check of it; removed from what comes from outside."""
METHOD = "x-parley-method"
"""Tells the gateway which method was meant; it does not pass it on."""
OWN = "parley.identity.v1."
"""Methods of this service, which looks at credentials itself: they are passed on to it alone."""
OVERWRITE = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class Authorization(external_auth_pb2_grpc.AuthorizationServicer):
    """Answers the gateway.

    Args:
        decision: Decides.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Whether a request may pass."""
        http = request.attributes.request.http
        headers = dict(http.headers)
        address = request.attributes.source.address.socket_address.address
        path = http.path.partition("?")[0]
        origin = Origin(address, headers.get(REQUEST_ID, ""))
        attempt = Attempt(http.method, path, headers, origin, vouched(headers.pop(TOKEN_PAYLOAD, "")))
        try:
            allowed = await self._decision.decide(attempt)
        except errors.ParleyError as error:
            metrics.DECISIONS.labels(error.reason).inc()
            return denied(error, headers, headers.get(ORIGINAL_PATH, path))
        metrics.DECISIONS.labels("allowed").inc()
        return passed(allowed, headers, address)


def bound(decision: Decision) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server,
        Authorization(decision),
        pb.DESCRIPTOR.services_by_name["Authorization"],
    )


def vouched(payload: str) -> Vouched | None:
    """What the payload of a token says that the gateway has checked; None where there is none, or nobody in it."""
    if not payload:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issuer, subject = claims["iss"], claims["sub"]
    except (ValueError, KeyError, TypeError):
        return None
    return Vouched(issuer, subject) if isinstance(issuer, str) and isinstance(subject, str) else None


def passed(allowed: Allowed, headers: Mapping[str, str], address: str) -> pb.CheckResponse:
    """Lets a request pass: with our identity headers, and without any that came with it."""
    ours = dict(allowed.identity.headers) if allowed.identity is not None else {}
    ours[ADDRESS] = address
    # The gateway compares it with what it calls: paths that the two of us read differently lead nowhere.
    ours[METHOD] = f"/{allowed.method}"
    # An empty header would not be set, and leave a forged one standing: those are removed.
    given = {name: value for name, value in ours.items() if value}
    forged = [name for name in headers if name.startswith(IDENTITY_PREFIX) and name not in given]
    used_up = () if allowed.method.startswith(OWN) else CREDENTIALS
    answer = pb.CheckResponse()
    answer.status.code = code_pb2.OK
    answer.ok_response.headers.extend(_options(given.items()))
    answer.ok_response.headers_to_remove.extend([*forged, *(name for name in used_up if name in headers)])
    answer.ok_response.response_headers_to_add.extend(_options(_limit_headers(allowed.remaining)))
    if allowed.keep:
        # For gateway/decisions.lua, which does the same to the next such request.
        answer.dynamic_metadata.update({"keep": allowed.keep, "headers": given})
    return answer


def denied(error: errors.ParleyError, headers: Mapping[str, str], path: str) -> pb.CheckResponse:
    """Answers a request in the place of the service."""
    if isinstance(error, NoSuchMethod):
        return _nothing_there(error)
    said = status.to_status(error)
    is_grpc = headers.get("content-type", "").startswith("application/grpc") and ORIGINAL_PATH not in headers
    answered = [("content-type", "application/json"), *_about(error, path, "authorization" in headers)]
    if is_grpc:
        details = base64.b64encode(said.SerializeToString()).decode().rstrip("=")
        answered = [("grpc-status", str(said.code)), (STATUS_DETAILS, details)]
    answer = pb.CheckResponse()
    answer.status.code = said.code
    answer.denied_response.status.code = status.http_status(error)
    answer.denied_response.headers.extend(_options(answered))
    answer.denied_response.body = said.message if is_grpc else body(error, said, path)
    return answer


def _nothing_there(error: NoSuchMethod) -> pb.CheckResponse:
    """The gateway has words of its own for what is not there, as it has for what no service answers."""
    answer = pb.CheckResponse()
    answer.status.code = code_pb2.NOT_FOUND
    answer.denied_response.status.code = 405 if error.verbs else 404
    answer.denied_response.headers.extend(_options([("allow", ", ".join(error.verbs))] if error.verbs else []))
    return answer


def body(error: errors.ParleyError, said: status_pb2.Status, path: str) -> str:
    """A refusal in the dialect of a path."""
    if path.startswith("/v1/"):
        return openai.error_body(error).decode()
    if path.startswith(WEB_UI):
        return json.dumps({"detail": error.message, "error": error.reason})
    return json_format.MessageToJson(said, indent=None)


def _about(error: errors.ParleyError, path: str, tried: bool) -> Iterable[tuple[str, str]]:
    """The headers that say what would help: RFC 9110 (WWW-Authenticate, Retry-After), RFC 6750, OpenAI's limits."""
    if isinstance(error, errors.Unauthenticated):
        fault = ', error="invalid_token"' if tried else ""
        yield (
            "www-authenticate",
            'Basic realm="parley"' if path.startswith(WEB_UI) else f'Bearer realm="parley"{fault}',
        )
    if error.retry_after is not None:
        yield "retry-after", str(max(1, round(error.retry_after)))
    if isinstance(error, LimitReached):
        yield from _limit_headers(Remaining(error.limit, 0, error.reset), error.unit)


def _limit_headers(remaining: Remaining | None, unit: str = "requests") -> Iterable[tuple[str, str]]:
    """What is left, as OpenAI's API says it."""
    if remaining is not None:
        name = unit.replace("_", "-")
        yield f"x-ratelimit-limit-{name}", str(remaining.limit)
        yield f"x-ratelimit-remaining-{name}", str(remaining.remaining)
        yield f"x-ratelimit-reset-{name}", f"{max(1, round(remaining.reset))}s"


def _options(headers: Iterable[tuple[str, str]]) -> Iterable[pb.HeaderValueOption]:
    """Headers that replace those of the same name."""
    for name, value in headers:
        yield pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value), append_action=OVERWRITE)
