"""A small API server: enough of Kubernetes' REST API for the real Helm to install, upgrade, roll back and uninstall.

It keeps objects as they are sent and runs no pods. What a real one would do and this does: discovery, server-side apply
with conflicts over `spec.replicas`, label selectors, immutable selectors of Deployments; Jobs succeed at once, or fail
where `failing` names them. It validates nothing: test_judges does. What it cannot show: scheduling, admission, the
operators behind custom resources.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Key = tuple[str, str, str, str]
"""Group and version, plural, namespace, name."""
# Kinds by group and version: what this cluster has.
KINDS = {
    "v1": ["ConfigMap", "Namespace", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment", "ReplicaSet", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["CronJob", "Job"],
    "cert-manager.io/v1": ["Certificate", "Issuer"],
    "external-secrets.io/v1": ["ExternalSecret"],
    "gateway.networking.k8s.io/v1": ["GRPCRoute", "HTTPRoute"],
    "keda.sh/v1alpha1": ["ScaledObject"],
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule", "ServiceMonitor"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
    "postgresql.cnpg.io/v1": ["Cluster"],
}


def plural(kind: str) -> str:
    """A kind as paths name it."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


WATCH_SECONDS = 1.0
"""How long a watch stays open; clients ask again."""
PLURALS = {(version, plural(kind)): kind for version, kinds in KINDS.items() for kind in kinds}


PROTOBUF = b"k8s\0"
"""Begins a body in Kubernetes' protobuf envelope, which Helm sends its own records in."""


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message that have a length: number and bytes."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        tag = varint()
        length = varint()
        if tag & 7 == 2:
            yield tag >> 3, data[position : position + length]
            position += length


def entries(items: list[bytes]) -> dict[str, bytes]:
    """A map field's entries."""
    pairs = [dict(fields(item)) for item in items]
    return {pair[1].decode(): pair[2] for pair in pairs}


def secret(envelope: bytes) -> Object:
    """A Secret of k8s.io/api/core/v1/generated.proto: metadata 1, data 2, type 3; its name 1 and labels 11."""
    parts: dict[int, list[bytes]] = {}
    for number, value in fields(dict(fields(envelope))[2]):
        parts.setdefault(number, []).append(value)
    metadata = list(fields(parts[1][0]))
    labels = {name: value.decode() for name, value in entries([v for number, v in metadata if number == 11]).items()}
    data = {name: base64.b64encode(value).decode() for name, value in entries(parts[2]).items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": dict(metadata)[1].decode(), "labels": labels},
        "data": data,
        "type": parts[3][0].decode(),
    }


class Refused(Exception):
    """The server answers with an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    @property
    def status(self) -> Object:
        """The error as Kubernetes says it."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": str(self),
        }


class Cluster:
    """The objects, and what controllers would do to them.

    Args:
        minor: Which Kubernetes 1.x it says to be.
    """

    def __init__(self, minor: int = 34) -> None:
        self.minor = minor
        self.objects: dict[Key, Object] = {}
        self.failing: set[str] = set()
        """Jobs that fail, by name."""
        self.log: list[tuple[str, str]] = []
        """Verb and kind/name of everything that was changed, in order."""
        self._scaled: set[Key] = set()
        self._version = 0
        self._lock = threading.Lock()

    def of(self, kind: str) -> dict[str, Object]:
        """The objects of a kind by name."""
        return {key[3]: item for key, item in self.objects.items() if item["kind"] == kind}

    def names(self) -> set[str]:
        """All objects as kind/name, but for what Helm keeps of releases."""
        kept = [item for item in self.objects.values() if item.get("type") != "helm.sh/release.v1"]
        return {f"{item['kind']}/{item['metadata']['name']}" for item in kept}

    def scale(self, name: str, replicas: int) -> None:
        """What an autoscaler does: it owns `replicas` from now on."""
        for key, item in self.objects.items():
            if item["kind"] == "Deployment" and key[3] == name:
                item["spec"]["replicas"] = replicas
                self._scaled.add(key)

    def create(self, key: Key, item: Object) -> Object:
        """A new object. Raises Refused when it is there."""
        with self._lock:
            if key in self.objects:
                raise Refused(409, "AlreadyExists", f"{key[1]} {key[3]!r} already exists")
            return self._store(key, item, "create")

    def apply(self, key: Key, item: Object, *, force: bool) -> Object:
        """Server-side apply. Raises Refused where another one owns a field, or a field may not change."""
        with self._lock:
            before = self.objects.get(key)
            item = copy.deepcopy(item)
            if before is None:
                return self._store(key, item, "create")
            if key in self._scaled:
                if "replicas" in item["spec"] and not force:
                    raise Refused(
                        409, "Conflict", 'Apply failed with 1 conflict: conflict with "autoscaler": .spec.replicas'
                    )
                item["spec"].setdefault("replicas", before["spec"]["replicas"])
            if key[1] in ("deployments", "statefulsets") and item["spec"]["selector"] != before["spec"]["selector"]:
                raise Refused(422, "Invalid", f"{key[1]} {key[3]!r} is invalid: spec.selector: field is immutable")
            return self._store(key, item, "apply")

    def replace(self, key: Key, item: Object) -> Object:
        """Another object in its place. Raises Refused when there is none."""
        with self._lock:
            self.get(key)
            return self._store(key, item, "update")

    def get(self, key: Key) -> Object:
        """An object. Raises Refused when there is none."""
        if key not in self.objects:
            raise Refused(404, "NotFound", f"{key[1]} {key[3]!r} not found")
        return self.objects[key]

    def delete(self, key: Key) -> Object:
        """Removes an object. Raises Refused when there is none."""
        with self._lock:
            item = self.get(key)
            del self.objects[key]
            self._scaled.discard(key)
            self.log.append(("delete", f"{item['kind']}/{key[3]}"))
            return item

    def select(self, version: str, name: str, namespace: str, query: dict[str, list[str]]) -> list[Object]:
        """The objects of a collection that selectors choose."""
        found = [o for k, o in self.objects.items() if k[:2] == (version, name) and namespace in ("", k[2])]
        for selector in query.get("labelSelector", []):
            pairs = [part.split("=") for part in selector.replace("==", "=").split(",") if part]
            found = [o for o in found if all(o["metadata"].get("labels", {}).get(k) == v for k, v in pairs)]
        for selector in query.get("fieldSelector", []):
            field, _, value = selector.partition("=")
            assert field == "metadata.name", selector
            found = [o for o in found if o["metadata"]["name"] == value]
        return found

    def _store(self, key: Key, item: Object, verb: str) -> Object:
        """Keeps an object, with what the server adds."""
        self._version += 1
        item = copy.deepcopy(item)
        old = self.objects.get(key, {}).get("metadata", {})
        item["metadata"] |= {
            "namespace": key[2],
            "name": key[3],
            "uid": old.get("uid", str(uuid.uuid4())),
            "resourceVersion": str(self._version),
            "creationTimestamp": old.get("creationTimestamp", "2026-01-01T00:00:00Z"),
            "generation": 1,
        }
        if item["kind"] == "Job":
            item["status"] = self._job_status(key[3])
        self.objects[key] = item
        if item.get("type") != "helm.sh/release.v1":
            self.log.append((verb, f"{item['kind']}/{key[3]}"))
        return item

    def _job_status(self, name: str) -> Object:
        """How a Job ended."""
        kind = "Failed" if name in self.failing else "Complete"
        condition = {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        count = {"failed": 1} if kind == "Failed" else {"succeeded": 1}
        return {
            **count,
            "conditions": [condition],
            "startTime": "2026-01-01T00:00:00Z",
            "completionTime": "2026-01-01T00:00:01Z",
        }


class Handler(BaseHTTPRequestHandler):
    """One request of the API."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet: two would wait for an acknowledgement in between, 40 ms each time.
    wbufsize = -1
    disable_nagle_algorithm = True
    cluster: Cluster

    def do_GET(self) -> None:
        """Discovery, objects and collections."""
        self._answer(self._read)

    def do_POST(self) -> None:
        """Creates."""
        self._answer(self._create)

    def do_PATCH(self) -> None:
        """Applies."""
        self._answer(self._apply)

    def do_PUT(self) -> None:
        """Replaces."""
        self._answer(self._replace)

    def do_DELETE(self) -> None:
        """Deletes."""
        self._answer(self._delete)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that http.server gives it
        """Says nothing."""

    def _answer(self, work: Any) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length) if length else b""
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.parts = [part for part in url.path.split("/") if part]
        try:
            code, answer = work()
        except Refused as error:
            code, answer = error.code, error.status
        if answer is None:
            return
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _place(self) -> tuple[str, str, str, str]:
        """Version, plural, namespace and name that the path is about."""
        parts = self.parts
        version, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        return version, rest[0], namespace, rest[1] if len(rest) > 1 else ""

    def _read(self) -> tuple[int, Object | None]:
        found = discovery(self.parts, self.cluster.minor)
        if found is not None:
            return 200, found
        version, name, namespace, item = self._place()
        if (version, name) not in PLURALS:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if self.query.get("watch", ["false"])[0] in ("true", "1"):
            return self._watch()
        if item:
            return 200, self.cluster.get((version, name, namespace, item))
        items = self.cluster.select(version, name, namespace, self.query)
        head = {"kind": f"{PLURALS[version, name]}List", "apiVersion": version}
        return 200, {**head, "metadata": {"resourceVersion": "1"}, "items": items}

    def _watch(self) -> tuple[int, None]:
        """Tells what there is, where that is asked for, says that this was all, and then nothing more."""
        version, name, namespace, _ = self._place()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.query.get("sendInitialEvents", ["false"])[0] == "true":
            for item in self.cluster.select(version, name, namespace, self.query):
                self._tell("ADDED", item)
            metadata = {"resourceVersion": "1000000", "annotations": {"k8s.io/initial-events-end": "true"}}
            self._tell("BOOKMARK", {"kind": PLURALS[version, name], "apiVersion": version, "metadata": metadata})
        self.wfile.flush()
        time.sleep(WATCH_SECONDS)
        return 200, None

    def _tell(self, event: str, item: Object) -> None:
        """Sends an event of a watch."""
        self.wfile.write(json.dumps({"type": event, "object": item}).encode() + b"\n")
        self.wfile.flush()

    def _sent(self) -> Object:
        if self.body.startswith(PROTOBUF):
            return secret(self.body.removeprefix(PROTOBUF))
        item: Object = yaml.safe_load(self.body)
        return item

    def _create(self) -> tuple[int, Object]:
        version, name, namespace, _ = self._place()
        item = self._sent()
        return 201, self.cluster.create((version, name, namespace, item["metadata"]["name"]), item)

    def _apply(self) -> tuple[int, Object]:
        assert self.headers["content-type"] == "application/apply-patch+yaml", self.headers["content-type"]
        force = self.query.get("force", ["false"])[0] == "true"
        return 200, self.cluster.apply(self._place(), self._sent(), force=force)

    def _replace(self) -> tuple[int, Object]:
        return 200, self.cluster.replace(self._place(), self._sent())

    def _delete(self) -> tuple[int, Object]:
        self.cluster.delete(self._place())
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def discovery(parts: list[str], minor: int) -> Object | None:
    """What the server says of itself; None for another path."""
    if parts == ["version"]:
        return {"major": "1", "minor": str(minor), "gitVersion": f"v1.{minor}.0", "platform": "linux/amd64"}
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups())}
    if parts[:1] == ["openapi"]:
        return openapi("/".join(parts[2:]))
    version = parts[1] if parts[0] == "api" else "/".join(parts[1:])
    if version not in KINDS or len(parts) > 3:
        return None
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {
            "name": plural(kind),
            "singularName": kind.lower(),
            "namespaced": kind != "Namespace",
            "kind": kind,
            "verbs": verbs,
        }
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def root(version: str) -> str:
    """Where the API of a group and version is."""
    return f"apis/{version}" if "/" in version else f"api/{version}"


def openapi(path: str) -> Object:
    """OpenAPI of a group and version, or the list of them: just that the server checks fields by itself."""
    if not path:
        return {"paths": {root(version): {"serverRelativeURL": f"/openapi/v3/{root(version)}"} for version in KINDS}}
    (version,) = [version for version in KINDS if root(version) == path]
    group, _, number = version.rpartition("/")
    checked = [{"name": "fieldValidation", "in": "query"}]
    kinds = {
        kind: {
            "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
            "parameters": checked,
        }
        for kind in KINDS[version]
    }
    paths = {
        f"/{path}/namespaces/{{namespace}}/{plural(kind)}/{{name}}": {"patch": patch} for kind, patch in kinds.items()
    }
    return {"openapi": "3.0.0", "info": {"title": "fake", "version": "1"}, "paths": paths}


def groups() -> Iterator[Object]:
    """The groups of the API."""
    for version in KINDS:
        if "/" in version:
            preferred = {"groupVersion": version, "version": version.split("/")[1]}
            yield {"name": version.split("/")[0], "versions": [preferred], "preferredVersion": preferred}


class Server:
    """A cluster's API on a port of loopback."""

    def __init__(self, cluster: Cluster) -> None:
        handler = type("ClusterHandler", (Handler,), {"cluster": cluster})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def kubeconfig(self) -> str:
        """What a client is told."""
        cluster = {"name": "fake", "cluster": {"server": self.url}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "nobody"}}
        users = [{"name": "nobody", "user": {}}]
        head = {"apiVersion": "v1", "kind": "Config", "current-context": "fake"}
        return str(yaml.safe_dump({**head, "clusters": [cluster], "contexts": [context], "users": users}))

    def close(self) -> None:
        """Stops."""
        self._http.shutdown()
        self._http.server_close()
