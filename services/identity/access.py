"""Who may call which method, as the contracts say it: the option `access` of every RPC, read from the descriptors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool

from services.identity.decision import Access
from services.mesh import contracts, rest

# Typed as contracts.ACCESS is.
HTTP: Any = annotations_pb2.http

VARIABLE = re.compile(r"\{[\w.]+(?:=([^}]*))?\}")
"""A variable of a path template."""
PUBLIC_PATHS = frozenset({"/", "/openapi.json"})
"""What the gateway answers by itself, to everybody."""
FOREIGN = {
    "grpc.health.v1.Health": {"public": True},
    "grpc.reflection.v1alpha.ServerReflection": {"authenticated": True},
    "grpc.reflection.v1.ServerReflection": {"authenticated": True},
    "nvidia.riva.asr.RivaSpeechRecognition": {"scope": "asr"},
}
"""Services whose contracts are others', which cannot be annotated."""


class Contracts:
    """All methods of the mesh with their access: found by gRPC path, or by REST path and verb."""

    def __init__(self) -> None:
        self.methods: dict[str, Access] = {}
        rules: list[tuple[int, tuple[str, str], re.Pattern[str], Access]] = []
        for name in contracts.service_names():
            for method in descriptor_pool.Default().FindServiceByName(name).methods:
                access = _access(f"{name}/{method.name}", method.GetOptions())
                self.methods[f"/{access.method}"] = access
                for verb, template in bindings(method.GetOptions().Extensions[HTTP]):
                    _fields, pattern = rest.compiled(template)
                    spelled_out = len(VARIABLE.sub(r"\1", template).replace("*", ""))
                    rules.append((spelled_out, (verb, _custom_verb(VARIABLE.sub("", template))), pattern, access))
        # What spells out most is meant before what has a variable in that place, as in the gateway.
        rules.sort(key=lambda rule: -rule[0])
        self._rules: dict[tuple[str, str], list[tuple[re.Pattern[str], Access]]] = {}
        for _, verbs, pattern, access in rules:
            self._rules.setdefault(verbs, []).append((pattern, access))
        self._custom_verbs = {custom for _, custom in self._rules}

    def find(self, verb: str, path: str) -> Access | None:
        """The method that a request is for; None where there is none."""
        found = self.methods.get(path)
        if found is not None:
            return found if verb == "POST" else None
        service, _, method = path[1:].partition("/")
        if service in FOREIGN:
            return Access(f"{service}/{method}", **FOREIGN[service])  # type: ignore[arg-type]  # the table's values
        if verb in ("GET", "HEAD") and path in PUBLIC_PATHS:
            return Access(path, public=True)
        # As the gateway reads it: a verb that some rule has is never the end of an id, whatever the HTTP method.
        custom = _custom_verb(path)
        for pattern, access in self._rules.get((verb, custom if custom in self._custom_verbs else ""), ()):
            if pattern.fullmatch(path):
                return access
        return None

    def verbs(self, path: str) -> Collection[str]:
        """The HTTP methods that a path takes; none where nothing is served there."""
        if path in self.methods:
            return ("POST",)
        return {verb for verb, _ in self._rules if self.find(verb, path) is not None}


def _custom_verb(path: str) -> str:
    """What follows the colon in the last segment of a path (google.api.http calls it a verb); empty without one."""
    return path.rpartition("/")[2].rpartition(":")[2] if ":" in path.rpartition("/")[2] else ""


def _access(method: str, options: Any) -> Access:
    """A method's access; one without the option is open to nobody."""
    option = options.Extensions[contracts.ACCESS]
    return Access(
        method,
        scope=option.scope,
        public=option.public,
        authenticated=option.authenticated,
        internal=option.internal,
        audited=option.audited,
    )


def bindings(rule: Any) -> Iterator[tuple[str, str]]:
    """Verb and path template of a method's REST rules."""
    for binding in (rule, *rule.additional_bindings):
        kind = binding.WhichOneof("pattern")
        if kind and kind != "custom":
            yield kind.upper(), getattr(binding, kind)
