"""A release's life through the real Helm, against an API server that keeps what it is sent (fake_cluster.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import helm_python as helm
import pytest

from tests.deploy.fake_cluster import Cluster, Server
from tests.deploy.rendering import CASES, CHART, NAMESPACE, hook, rendered

KEPT = {"PersistentVolumeClaim/parley-asr", "PersistentVolumeClaim/parley-image"}
MIGRATIONS = {f"Job/parley-{service}-migrate" for service in ("asr", "chat", "identity", "image", "sql")}
Connect = Callable[[Cluster], helm.Config]


@pytest.fixture
def cluster() -> Cluster:
    """A cluster with nothing in it."""
    return Cluster()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Helm with a cluster's API."""
    opened: list[Any] = []

    def made(cluster: Cluster) -> helm.Config:
        server = Server(cluster)
        config = helm.Config(kubeconfig_content=server.kubeconfig(), namespace=NAMESPACE, qps=1000, burst_limit=1000)
        opened.extend([config, server])
        return config

    yield made
    for item in opened:
        item.close()


def names(values: Any, name: str = "parley") -> set[str]:
    """What a release consists of, as kind/name."""
    return {f"{item['kind']}/{item['metadata']['name']}" for item in rendered(values, name=name) if not hook(item)}


def test_a_release_from_its_installation_to_its_end(cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    first = config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    assert (first["revision"], first["status"]) == (1, "deployed")
    assert cluster.names() == names({})

    changed = {"services": {"chat": {"image": {"tag": "0.2.0"}}, "identity": {"enabled": False}}}
    second = config.upgrade(CHART, "parley", changed, timeout=60, wait="hookOnly")
    assert (second["revision"], second["status"]) == (2, "deployed")
    assert cluster.names() == names(changed)
    image = cluster.of("Deployment")["parley-chat"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith("/chat:0.2.0")

    config.rollback("parley", version=1, timeout=60, wait="hookOnly")
    assert cluster.names() == names({})
    assert [item["revision"] for item in config.history("parley")] == [1, 2, 3]

    config.test("parley", timeout=60)
    assert ("create", "Job/parley-test") in cluster.log or ("apply", "Job/parley-test") in cluster.log
    assert "Job/parley-test" not in cluster.names(), "hooks are removed when they succeeded"

    config.uninstall("parley", timeout=60)
    assert cluster.names() == KEPT
    assert not cluster.of("Secret"), "Helm's own records are gone too"


def test_migrations_run_first_and_for_every_revision(cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    order = [name for verb, name in cluster.log if verb in ("create", "apply")]
    first = min(order.index(name) for name in names({}))
    assert {name for name in order[:first] if name.startswith("Job/")} == MIGRATIONS
    cluster.log.clear()
    config.upgrade(CHART, "parley", {}, timeout=60, wait="hookOnly")
    again = [name for verb, name in cluster.log if verb in ("create", "apply") and name.startswith("Job/")]
    assert set(again) == MIGRATIONS


def test_a_migration_that_fails_leaves_the_running_revision_alone(cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    before = cluster.of("Deployment")
    cluster.failing = {"parley-chat-migrate"}
    with pytest.raises(helm.HelmError, match="pre-upgrade hooks failed"):
        config.upgrade(CHART, "parley", {"defaults": {"image": {"tag": "0.2.0"}}}, timeout=60, wait="hookOnly")
    assert cluster.of("Deployment") == before
    assert config.history("parley")[-1]["status"] == "failed"
    cluster.failing = set()
    assert config.upgrade(CHART, "parley", {}, timeout=60, wait="hookOnly")["status"] == "deployed"


def test_an_upgrade_leaves_the_autoscalers_replicas(cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    cluster.scale("parley-chat", 7)
    config.upgrade(CHART, "parley", {"services": {"chat": {"image": {"tag": "0.2.0"}}}}, timeout=60, wait="hookOnly")
    assert cluster.of("Deployment")["parley-chat"]["spec"]["replicas"] == 7


def test_the_cluster_refuses_replicas_beside_an_autoscaler(cluster: Cluster, connect: Connect) -> None:
    """What the chart avoids: the same upgrade with `replicas` fails."""
    config = connect(cluster)
    config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    cluster.scale("parley-chat", 7)
    with pytest.raises(helm.HelmError, match="conflict"):
        none = {"services": {"chat": {"autoscaling": {"engine": "none"}}}}
        config.upgrade(CHART, "parley", none, timeout=60, wait="hookOnly")


def test_two_releases_live_side_by_side(cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    for name in ("blue", "green"):
        config.install(CHART, name, {}, timeout=60, wait="hookOnly")
    assert cluster.names() == names({}, "blue") | names({}, "green")
    config.uninstall("blue", timeout=60)
    assert names({}, "green") <= cluster.names()
    config.uninstall("green", timeout=60)
    assert {name.partition("/")[0] for name in cluster.names()} == {"PersistentVolumeClaim"}


@pytest.mark.parametrize("case", ["everything", "dev", "minimal", "image-volume"])
def test_other_values_install_and_leave_nothing_but_what_is_kept(case: str, cluster: Cluster, connect: Connect) -> None:
    config = connect(cluster)
    config.install(CHART, "parley", dict(CASES[case]), timeout=60, wait="hookOnly")
    assert cluster.names() == names(CASES[case])
    config.uninstall("parley", timeout=60)
    kept = [
        item for item in rendered(CASES[case]) if item["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
    ]
    assert cluster.names() == {f"{item['kind']}/{item['metadata']['name']}" for item in kept}


def test_turning_everything_on_changes_no_selector(cluster: Cluster, connect: Connect) -> None:
    """Selectors cannot be changed: an upgrade that tried would fail."""
    config = connect(cluster)
    config.install(CHART, "parley", {}, timeout=60, wait="hookOnly")
    config.upgrade(CHART, "parley", dict(CASES["everything"]), timeout=60, wait="hookOnly")
    assert cluster.names() - names(CASES["everything"]) <= KEPT


def test_image_volumes_are_refused_before_kubernetes_1_33(connect: Connect) -> None:
    with pytest.raises(helm.HelmError, match=r"needs Kubernetes 1\.33; this is v1\.32"):
        connect(Cluster(minor=32)).install(CHART, "parley", dict(CASES["image-volume"]), timeout=60)


def test_older_clusters_are_refused(connect: Connect) -> None:
    with pytest.raises(helm.HelmError, match="kubeVersion"):
        connect(Cluster(minor=30)).install(CHART, "parley", {}, timeout=60)


def test_the_release_fits_into_the_secret_that_helm_keeps_it_in(cluster: Cluster, connect: Connect) -> None:
    connect(cluster).install(CHART, "parley", dict(CASES["everything"]), timeout=60, wait="hookOnly")
    (record,) = [item for item in cluster.objects.values() if item.get("type") == "helm.sh/release.v1"]
    assert len(record["data"]["release"]) < 500_000, "the limit is 1 MiB"
