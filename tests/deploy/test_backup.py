"""Backups in the cluster: the CronJob that the chart renders, and its commands on a real PostgreSQL and an S3."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import httpx
import psycopg2
import pyrage
import pytest
import yaml

from scripts.settings_docs import settings_class
from services.mesh.database import Database
from tests.conftest import ROOT
from tests.deploy.rendering import CASES, Object, component, containers, of_kind, one, pod, rendered, texts

SERVICES = ["asr", "chat", "identity", "image", "sql"]
BUCKET = "parley-backups"
STORE = f"s3://{BUCKET}/production"
IDENTITY = pyrage.x25519.Identity.generate()
VALUES: dict[str, Any] = {
    "backup": {
        "enabled": True,
        "store": {"url": STORE, "existingSecret": "store"},
        "recipients": [str(IDENTITY.to_public())],
        "keep": 2,
        "extraEnv": [{"name": "AWS_SHARED_CREDENTIALS_FILE", "value": "/run/secrets/store/credentials"}],
        "restore": {"service": "chat", "identitySecret": "parley-restore"},
    }
}


def cron_job(values: dict[str, Any] | None = None) -> Object:
    """The CronJob."""
    return one(rendered(values or VALUES), "CronJob", "parley-backup")


def container(workload: Object, name: str) -> Object:
    """A container of a workload."""
    (found,) = [item for item in containers(workload) if item["name"] == name]
    return found


def volumes(workload: Object, item: Object) -> dict[str, Object]:
    """What a container has mounted, by where."""
    there = {volume["name"]: volume for volume in pod(workload)["volumes"]}
    return {mount["mountPath"]: there[mount["name"]] for mount in item["volumeMounts"]}


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert not [item for item in rendered() if component(item) == "backup"]


def test_notes_say_that_there_is_none() -> None:
    assert "backup.enabled" in texts()["parley/templates/NOTES.txt"]
    assert "backup.enabled" not in texts(VALUES)["parley/templates/NOTES.txt"]
    assert "backup.enabled" not in texts(CASES["dev"])["parley/templates/NOTES.txt"]


def test_monitoring_looks_for_the_cronjob_by_its_name() -> None:
    rules = (ROOT / "deploy" / "monitoring" / "rules" / "alerts.yaml").read_text()
    patterns = set(re.findall(r'cronjob=~"([^"]+)"', rules))
    assert patterns
    for name in ("parley", "blue", "a" * 80):
        (job,) = of_kind(rendered(VALUES | {"fullnameOverride": name}), "CronJob")
        assert all(re.fullmatch(pattern, job["metadata"]["name"]) for pattern in patterns)
        # Kubernetes adds up to eleven characters for each run.
        assert len(job["metadata"]["name"]) <= 52


def test_the_alert_fires_after_a_night_without_one() -> None:
    """A schedule rarer than the alert's patience would page for nothing."""
    minute, hour, *rest = cron_job()["spec"]["schedule"].split()
    assert minute.isdigit()
    assert hour.isdigit()
    assert rest == ["*", "*", "*"], "every day"


def test_runs_do_not_pile_up() -> None:
    spec = cron_job()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["successfulJobsHistoryLimit"] > 0
    assert spec["failedJobsHistoryLimit"] > 0
    job = spec["jobTemplate"]["spec"]
    assert 0 < job["activeDeadlineSeconds"] < 24 * 3600
    assert job["backoffLimit"] > 0
    assert pod(cron_job())["restartPolicy"] == "OnFailure", "what is done is not done twice"


@pytest.mark.parametrize("mode", ["external", "cloudnativepg"])
def test_every_service_with_a_database_is_backed_up(mode: str) -> None:
    job = cron_job(VALUES | {"postgresql": {"mode": mode}})
    assert sorted(item["name"] for item in containers(job)) == SERVICES
    values = VALUES | {"services": {"sql": {"enabled": False}}}
    values["backup"] = VALUES["backup"] | {"restore": {}}
    assert sorted(item["name"] for item in containers(cron_job(values))) == [s for s in SERVICES if s != "sql"]


@pytest.mark.parametrize("mode", ["external", "cloudnativepg"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_container_sees_the_url_of_its_own_database_and_no_other_secret(service: str, mode: str) -> None:
    job = cron_job(VALUES | {"postgresql": {"mode": mode}})
    mounted = volumes(job, container(job, service))
    (source,) = mounted["/run/secrets/parley"]["projected"]["sources"]
    variable = f"PARLEY_{service.upper()}_DATABASE_URL"
    key, secret = (variable, f"parley-{service}") if mode == "external" else ("uri", f"parley-{service}-db-app")
    assert source == {"secret": {"name": secret, "items": [{"key": key, "path": variable}]}}
    assert "database_url" in settings_class(service).model_fields
    others = [volume["name"] for volume in mounted.values() if volume["name"].endswith(tuple(SERVICES))]
    assert sorted(others) == [f"database-{service}", f"tmp-{service}"], "a dump lies in a /tmp of its own"


def test_a_secret_of_ones_own_name_is_found() -> None:
    values = VALUES | {"services": {"chat": {"secret": {"existingSecret": "mine"}}}}
    job = cron_job(values)
    (source,) = volumes(job, container(job, "chat"))["/run/secrets/parley"]["projected"]["sources"]
    assert source["secret"]["name"] == "mine"


def test_a_dump_has_room_for_itself_and_its_encrypted_self() -> None:
    item = container(cron_job(), "chat")
    (size,) = [volume["emptyDir"]["sizeLimit"] for volume in pod(cron_job())["volumes"] if volume["name"] == "tmp-chat"]
    assert int(size.removesuffix("Gi")) < int(item["resources"]["limits"]["ephemeral-storage"].removesuffix("Gi"))


def test_recipients_are_a_configmap_or_ones_own() -> None:
    objects = rendered(VALUES)
    data = one(objects, "ConfigMap", "parley-backup")["data"]
    assert data["recipients"].split() == VALUES["backup"]["recipients"]
    values = {"backup": VALUES["backup"] | {"recipients": [], "recipientsConfigMap": "operators"}}
    own = cron_job(values)
    assert volumes(own, container(own, "sql"))["/etc/parley/backup"]["configMap"]["name"] == "operators"
    assert "parley-backup" not in {item["metadata"]["name"] for item in of_kind(rendered(values), "ConfigMap")}


def test_it_reaches_databases_dns_and_the_store_alone() -> None:
    (policy,) = [item for item in of_kind(rendered(VALUES), "NetworkPolicy") if component(item) == "backup"]
    assert not policy["spec"].get("ingress")
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == {53, 443, 5432}
    near = {"ports": [{"port": 9000, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}
    values = {"backup": VALUES["backup"] | {"egress": [near]}, "cloud": "gke"}
    values["backup"]["identity"] = {"id": "backup@project"}
    (policy,) = [item for item in of_kind(rendered(values), "NetworkPolicy") if component(item) == "backup"]
    assert near in policy["spec"]["egress"]
    assert 988 in {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}, "GKE's identity"
    clusters = [
        peer["podSelector"]["matchLabels"]["cnpg.io/cluster"]
        for rule in one(rendered(CASES["everything"]), "NetworkPolicy", "parley-backup")["spec"]["egress"]
        for peer in rule["to"]
        if "podSelector" in peer
    ]
    assert clusters == [f"parley-{service}-db" for service in SERVICES]


@pytest.mark.parametrize(
    ("cloud", "annotation"),
    [
        ("aks", "azure.workload.identity/client-id"),
        ("eks", "eks.amazonaws.com/role-arn"),
        ("gke", "iam.gke.io/gcp-service-account"),
    ],
)
def test_the_store_can_know_it_by_an_identity(cloud: str, annotation: str) -> None:
    values = {"cloud": cloud, "backup": VALUES["backup"] | {"identity": {"id": "someone"}}}
    account = one(rendered(values), "ServiceAccount", "parley-backup")
    assert account["metadata"]["annotations"][annotation] == "someone"
    job = cron_job(values)
    assert pod(job)["serviceAccountName"] == "parley-backup"
    labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert ("azure.workload.identity/use" in labels) == (cloud == "aks")


def test_a_restore_is_no_part_of_a_release() -> None:
    """No values file has one; the guide renders it alone."""
    for case in CASES.values():
        assert not [item for item in of_kind(rendered(case), "Job") if component(item) == "backup"]
    (text,) = [text for path, text in texts(VALUES).items() if path.endswith("/restore.yaml")]
    assert [item["kind"] for item in yaml.safe_load_all(text)] == ["Job"]
    guide = (ROOT / "docs" / "operations" / "disaster-recovery.md").read_text()
    assert "--show-only templates/restore.yaml" in guide


def test_a_restore_goes_where_a_secret_says() -> None:
    """Into a database beside the one that is in use, while that is in use."""
    values = VALUES | {"services": {"chat": {"secret": {"existingSecret": "parley-chat-restored"}}}}
    job = one(rendered(values), "Job", "parley-backup-restore-chat")
    (source,) = volumes(job, container(job, "chat"))["/run/secrets/parley"]["projected"]["sources"]
    assert source["secret"]["name"] == "parley-chat-restored"
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "backup", (
        "as its policy says"
    )


# The commands, for real.


@pytest.fixture(scope="module")
def s3(s3_server: str) -> str:
    """URL of a server that speaks S3, with the bucket."""
    httpx.put(f"{s3_server}/{BUCKET}").raise_for_status()
    return s3_server


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A root for what is mounted: the recipients, the private key, the store's credentials."""
    (data,) = [item for item in of_kind(rendered(VALUES), "ConfigMap") if component(item) == "backup"]
    files = {
        "etc/parley/backup/recipients": data["data"]["recipients"],
        "run/secrets/identity/identity": f"{IDENTITY}\n",
        "run/secrets/store/credentials": "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "run/secrets/parley").mkdir()
    return tmp_path


def execute(workload: Object, service: str, root: Path, s3: str, url: str) -> subprocess.CompletedProcess[str]:
    """Runs a container's command as it is rendered, with what is mounted below `root`."""
    item = container(workload, service)
    (root / f"run/secrets/parley/PARLEY_{service.upper()}_DATABASE_URL").write_text(url)
    there = volumes(workload, item)

    def at(text: str) -> str:
        """A path in the container, here. Raises StopIteration for one that nothing is mounted at."""
        if not text.startswith("/"):
            return text
        assert next(path for path in there if text.startswith(path))
        return f"{root}{text}"

    assert item["command"][0] == "python"
    told = {variable["name"]: at(variable["value"]) for variable in item["env"]}
    return subprocess.run(
        [sys.executable, *item["command"][1:], *map(at, item["args"])],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": s3,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **told,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def query(url: str, *statements: str) -> Any:
    """The first value that the last statement gives, if any."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def test_what_the_cronjob_dumps_the_restores_job_brings_back(
    make_postgres: Callable[[], str], mounted: Path, s3: str
) -> None:
    """Three nights, of which two are kept; then into an empty database, and into no other."""
    url, fresh = make_postgres(), make_postgres()
    query(url, "CREATE TABLE drill (number integer)")
    names = []
    for night in range(3):
        query(url, f"INSERT INTO drill VALUES ({night})")
        made = execute(cron_job(), "chat", mounted, s3, url)
        assert made.returncode == 0, made.stderr[-2000:]
        names.append(made.stdout.strip())
        # Names tell seconds.
        time.sleep(1.1)
    listed = httpx.get(f"{s3}/{BUCKET}?list-type=2").text
    assert re.findall(r"<Key>([^<]+)</Key>", listed) == [f"production/chat/{name}" for name in names[1:]]
    stored = fsspec.open(f"{STORE}/chat/{names[2]}", key="key", secret="secret", endpoint_url=s3)
    with stored as data:
        assert data.read().startswith(b"age-encryption.org/v1")

    job = one(rendered(VALUES), "Job", "parley-backup-restore-chat")
    restored = execute(job, "chat", mounted, s3, fresh)
    assert (restored.returncode, restored.stdout.strip()) == (0, names[2]), restored.stderr[-2000:]
    assert query(fresh, "SELECT count(*) FROM drill") == (3,)
    refused = execute(job, "chat", mounted, s3, fresh)
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True)
    older = {"backup": VALUES["backup"] | {"restore": VALUES["backup"]["restore"] | {"name": names[1]}}}
    another = make_postgres()
    restored = execute(one(rendered(older), "Job", "parley-backup-restore-chat"), "chat", mounted, s3, another)
    assert (restored.returncode, restored.stdout.strip()) == (0, names[1]), restored.stderr[-2000:]
    assert query(another, "SELECT count(*) FROM drill") == (2,)


@pytest.mark.parametrize("service", SERVICES)
async def test_the_schema_of_every_service_comes_back(
    service: str, make_postgres: Callable[[], str], mounted: Path, s3: str
) -> None:
    """Indexes, defaults, keys: what the migrations made, and nothing else; the service has nothing to add to it."""
    url, fresh = make_postgres(), make_postgres()
    migrations = ROOT / "services" / service / "migrations"
    await migrated(url, migrations)
    values = {"backup": VALUES["backup"] | {"restore": {"service": service, "identitySecret": "parley-restore"}}}
    made = execute(cron_job(values), service, mounted, s3, url)
    assert made.returncode == 0, made.stderr[-2000:]
    restored = execute(one(rendered(values), "Job", f"parley-backup-restore-{service}"), service, mounted, s3, fresh)
    assert restored.returncode == 0, restored.stderr[-2000:]
    assert schema(fresh) == schema(url)
    await migrated(fresh, migrations)
    assert schema(fresh) == schema(url)


async def migrated(url: str, migrations: Path) -> None:
    """Brings a database up, as a service that starts does."""
    database = Database(url, migrations)
    try:
        await database.migrate()
    finally:
        await database.close()


def schema(url: str) -> list[str]:
    """What makes a database's schema anew; without the words that pg_dump makes up for each dump."""
    done = subprocess.run(["pg_dump", "--schema-only", "--no-owner", url], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def test_what_the_store_refuses_fails_the_job(make_postgres: Callable[[], str], mounted: Path, s3: str) -> None:
    """Kubernetes counts it as failed, and the alert follows; no bucket is made by mistake."""
    values = {"backup": VALUES["backup"] | {"store": {"url": "s3://nowhere/x", "existingSecret": "store"}}}
    failed = execute(cron_job(values), "chat", mounted, s3, make_postgres())
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False), failed.stderr
    assert "nowhere" not in httpx.get(s3).text
    (mounted / "run/secrets/store/credentials").write_text("[default]\n")
    failed = execute(cron_job(), "chat", mounted, s3, make_postgres())
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False), failed.stderr
    assert f"The store {STORE} refused" in failed.stderr
