"""May this request pass? Who it is from, whether they may call that method, and whether they have calls left.

It knows headers and paths and no transport: ext_authz.py asks for the gateway, callers.py for this service's own calls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.identity import credentials
from services.identity.audit import AuditLog, Entry, Outcome
from services.identity.caller import NOWHERE, Caller, Origin
from services.identity.credentials import Credential, Kind
from services.identity.errors import InvalidCredential, NoSuchMethod, NotAllowed
from services.identity.identities import Identities
from services.identity.identity import Identity
from services.identity.keys import SECRET, Keys
from services.identity.limits import Limits, Remaining
from services.identity.tables import now
from services.identity.tokens import Tokens
from services.mesh.errors import ParleyError

OWN = "parley.identity."
"""How this service's own methods begin."""
INVALID_KEY = "The API key is not valid: it does not exist, was revoked, or has expired."


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method: exactly one of the first four says it."""

    method: str
    """Full name: parley.sql.v1.SqlService/Ask."""
    scope: str = ""
    public: bool = False
    authenticated: bool = False
    internal: bool = False
    audited: bool = False

    @property
    def service(self) -> str:
        """The service that does the work, whichever API it is called by: the first part of the scope."""
        return self.scope.partition(":")[0]


class Methods(Protocol):
    """Knows the methods that there are."""

    def find(self, verb: str, path: str) -> Access | None:
        """The method that a request is for; None where there is none.

        Args:
            verb: HTTP method.
            path: Of a gRPC call, or of a REST call by the method's rule; without a query.
        """

    def verbs(self, path: str) -> Collection[str]:
        """The HTTP methods that a path takes; none where nothing is served there."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a token of a further issuer says, whose signature, times and audience the gateway has checked."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that wants to pass."""

    verb: str
    path: str
    """Without a query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    origin: Origin = NOWHERE
    vouched: Vouched | None = None
    """Where the credential is a token of a further issuer."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A request that may pass."""

    identity: Identity | None
    """None: nobody in particular, which only public methods let in."""
    method: str
    """Full name of the method that it is for."""
    remaining: Remaining | None = None
    keep: float = 0.0
    """Seconds for which the gateway need not ask again about the same request of the same caller."""


class Decision:
    """Decides.

    Args:
        identities: Looks credentials up.
        tokens: Checks access tokens.
        keys: Told when a key is used.
        limits: Counts calls.
        audit: Told of refusals, and of calls to methods that want it.
        methods: Knows the methods that there are.
        issuers: The organisation of each OpenID provider, by its issuer: whose people may come with its tokens.
        keep_seconds: For how long an answer holds, where nothing is to be counted.
    """

    def __init__(
        self,
        identities: Identities,
        tokens: Tokens,
        keys: Keys,
        limits: Limits,
        audit: AuditLog,
        methods: Methods,
        issuers: Mapping[str, str],
        keep_seconds: float = 0.0,
    ) -> None:
        self._identities = identities
        self._tokens = tokens
        self._keys = keys
        self._limits = limits
        self._audit = audit
        self._methods = methods
        self._issuers = issuers
        self._keep_seconds = keep_seconds

    async def decide(self, attempt: Attempt) -> Allowed:
        """Lets a request pass.

        Raises:
            InvalidCredential: There is no valid credential.
            NoSuchMethod: There is no such method.
            NotAllowed: The credential may not call it.
            LimitReached: Its tier's limit is used up.
            StorageUnavailable: Who it is cannot be found out: nobody passes.
        """
        access = self._methods.find(attempt.verb, attempt.path)
        if access is not None and access.public:
            return Allowed(None, access.method)
        identity = await self.authenticate(attempt.headers, attempt.vouched)
        if access is None:
            raise NoSuchMethod(attempt.path, self._methods.verbs(attempt.path))
        try:
            check_access(access, identity)
            remaining = await self._limits.call(identity.subject, identity.tier, access.service)
        except ParleyError as error:
            self._note(identity, access, attempt, Outcome.DENIED, error.reason)
            raise
        # Other services say themselves what became of a call (services/mesh/acts.py).
        if access.audited and access.method.startswith(OWN):
            self._note(identity, access, attempt, Outcome.ALLOWED)
        return Allowed(identity, access.method, remaining, self._keep(access, identity))

    def _keep(self, access: Access, identity: Identity) -> float:
        """For how long the answer holds: not where calls are counted, written down, or looked at again by ourselves."""
        if access.method.startswith(OWN) or not self._limits.unlimited(identity.tier, access.service):
            return 0.0
        left = self._keep_seconds if identity.expire_time is None else (identity.expire_time - now()) / 1e6
        return max(0.0, min(self._keep_seconds, left))

    async def authenticate(self, headers: Mapping[str, str], vouched: Vouched | None = None) -> Identity:
        """Who a request is from.

        Args:
            headers: Names in lower case.
            vouched: What the token among them says, where the gateway has checked it.

        Raises:
            InvalidCredential: There is no valid credential.
            StorageUnavailable: It cannot be looked up.
        """
        credential = credentials.find(headers)
        if credential.kind is Kind.TOKEN and vouched is not None:
            return await self._by_account(vouched)
        identity = await (self._by_key if credential.kind is Kind.KEY else self._by_token)(credential)
        if identity.expire_time is not None and identity.expire_time <= now():
            raise InvalidCredential(INVALID_KEY)
        return identity

    async def caller(self, headers: Mapping[str, str], method: str, origin: Origin) -> Caller:
        """Who calls one of this service's own methods, which counts for no limit: the gateway has counted it.

        Raises:
            InvalidCredential: There is no valid credential.
            NotAllowed: The credential may not call it.
            StorageUnavailable: It cannot be looked up.
        """
        access = self._methods.find("POST", method)
        identity = await self.authenticate(headers)
        if access is None:
            raise NotAllowed("internal")
        check_access(access, identity)
        return Caller(identity, origin)

    async def _by_key(self, credential: Credential) -> Identity:
        # What cannot be a key is refused without a query.
        identity = await self._identities.of_key(credential.secret) if SECRET.fullmatch(credential.secret) else None
        if identity is None:
            raise InvalidCredential(INVALID_KEY)
        self._keys.used(identity.key_id)
        return identity

    async def _by_token(self, credential: Credential) -> Identity:
        access = await self._tokens.check(credential.secret)
        identity = await self._identities.of_session(access.session_id)
        if identity is None or (identity.organisation, identity.user) != (access.organisation, access.user):
            raise InvalidCredential("The session of this token has ended. Log in again.")
        return identity

    async def _by_account(self, vouched: Vouched) -> Identity:
        organisation = self._issuers.get(vouched.issuer)
        identity = (
            await self._identities.of_account(organisation, vouched.issuer, vouched.subject) if organisation else None
        )
        if identity is None:
            raise InvalidCredential(
                "Nobody is known by this token. Log in once: `parley login` makes the account known."
            )
        return identity

    def _note(self, identity: Identity, access: Access, attempt: Attempt, outcome: Outcome, detail: str = "") -> None:
        self._audit.later(
            Entry(
                identity.organisation,
                identity.user,
                access.method,
                # A gRPC path says nothing more; a REST path names the resource.
                "" if attempt.path.strip("/") == access.method else attempt.path,
                outcome,
                detail,
                identity.key_id,
                attempt.origin,
                now(),
            )
        )


def check_access(access: Access, identity: Identity) -> None:
    """Raises NotAllowed where an identity may not call a method."""
    if access.public or access.authenticated or access.scope in identity.scopes:
        return
    if access.scope:
        raise NotAllowed(access.scope)
    # Internal, or a method that somebody forgot to say anything about.
    raise NotAllowed("internal", "This method is not offered to clients.")
