"""What runs in the pods, and how it starts, is judged and ends."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.mesh.contracts import service_names
from tests.conftest import ROOT
from tests.deploy.rendering import (
    CASES,
    component,
    containers,
    environment,
    hook,
    of_kind,
    one,
    pod,
    rendered,
    workloads,
)

SERVICES = ["chat", "sql", "asr", "image", "identity"]
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1}


def size(text: str) -> float:
    """A quantity of memory in bytes."""
    match = re.fullmatch(r"([0-9.]+)(Ki|Mi|Gi|Ti)?", str(text))
    assert match, text
    return float(match[1]) * UNITS[match[2] or ""]


def deployments(case: str) -> list[dict[str, Any]]:
    """The Deployments of a case."""
    return of_kind(rendered(CASES[case]), "Deployment")


@pytest.mark.parametrize("case", CASES)
def test_pods_are_restricted(case: str) -> None:
    """What Pod Security's `restricted` asks for, and more, at both levels."""
    for workload in workloads(rendered(CASES[case])):
        spec = pod(workload)
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 65532
        assert context["fsGroupChangePolicy"] == "OnRootMismatch"
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))


@pytest.mark.parametrize("case", CASES)
def test_containers_are_restricted(case: str) -> None:
    for workload in workloads(rendered(CASES[case])):
        for container in containers(workload):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["privileged"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] >= 10001
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("case", CASES)
def test_every_container_has_requests_and_limits(case: str) -> None:
    for workload in workloads(rendered(CASES[case])):
        for container in containers(workload):
            resources = container["resources"]
            for part in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} <= set(resources[part]), (
                    workload["metadata"]["name"],
                    part,
                )
            assert size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])


@pytest.mark.parametrize("case", CASES)
def test_writable_folders_have_a_size_that_fits_the_limit(case: str) -> None:
    """The kubelet evicts a pod whose /tmp outgrows its ephemeral storage; in memory it counts as memory."""
    for workload in deployments(case):
        limits = pod(workload)["containers"][0]["resources"]["limits"]
        disk = memory = 0.0
        for volume in pod(workload)["volumes"]:
            if "emptyDir" in volume:
                bytes_ = size(volume["emptyDir"]["sizeLimit"])
                if volume["emptyDir"].get("medium") == "Memory":
                    memory += bytes_
                else:
                    disk += bytes_
        assert disk <= size(limits["ephemeral-storage"]), workload["metadata"]["name"]
        assert memory < size(limits["memory"])


@pytest.mark.parametrize("case", CASES)
def test_mounts_have_volumes_and_volumes_are_mounted(case: str) -> None:
    for workload in workloads(rendered(CASES[case])):
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {item["name"] for item in pod(workload).get("volumes", [])} | {c["metadata"]["name"] for c in claims}
        mounts = {mount["name"] for item in containers(workload) for mount in item.get("volumeMounts", [])}
        assert mounts == volumes, workload["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_config_and_claims_that_pods_mount_are_rendered(case: str) -> None:
    objects = rendered(CASES[case])
    maps = {item["metadata"]["name"] for item in of_kind(objects, "ConfigMap")}
    claims = {item["metadata"]["name"] for item in of_kind(objects, "PersistentVolumeClaim")} | {"recordings"}
    for workload in workloads(objects):
        for volume in pod(workload).get("volumes", []):
            assert volume.get("configMap", {}).get("name") in maps | {None}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in claims | {None}


@pytest.mark.parametrize("case", CASES)
def test_each_component_has_an_account_without_a_token(case: str) -> None:
    objects = rendered(CASES[case])
    accounts = {item["metadata"]["name"]: item for item in of_kind(objects, "ServiceAccount")}
    used = [pod(workload)["serviceAccountName"] for workload in of_kind(objects, "Deployment", "CronJob")]
    assert len(set(used)) == len(used)
    assert set(used) == set(accounts)
    assert all(item["automountServiceAccountToken"] is False for item in accounts.values())


def test_an_account_can_be_one_that_is_there() -> None:
    values = {"services": {"chat": {"serviceAccount": {"create": False, "name": "mine"}}}}
    objects = rendered(values)
    assert pod(one(objects, "Deployment", "parley-chat"))["serviceAccountName"] == "mine"
    assert "parley-chat" not in {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}


@pytest.mark.parametrize(
    ("cloud", "annotation"),
    [
        ("aks", "azure.workload.identity/client-id"),
        ("eks", "eks.amazonaws.com/role-arn"),
        ("gke", "iam.gke.io/gcp-service-account"),
    ],
)
def test_a_cloud_identity_is_the_accounts(cloud: str, annotation: str) -> None:
    objects = rendered({"cloud": cloud, "services": {"asr": {"identity": {"id": "someone"}}}})
    assert one(objects, "ServiceAccount", "parley-asr")["metadata"]["annotations"][annotation] == "someone"
    assert "annotations" not in one(objects, "ServiceAccount", "parley-chat")["metadata"]
    labels = one(objects, "Deployment", "parley-asr")["spec"]["template"]["metadata"]["labels"]
    assert ("azure.workload.identity/use" in labels) == (cloud == "aks"), "AKS's webhook looks at the pod's label"


def test_without_a_cloud_an_identity_does_nothing() -> None:
    objects = rendered({"services": {"asr": {"identity": {"id": "someone"}}}})
    assert "annotations" not in one(objects, "ServiceAccount", "parley-asr")["metadata"]


@pytest.mark.parametrize("case", CASES)
def test_every_workload_that_stays_is_probed(case: str) -> None:
    for workload in of_kind(rendered(CASES[case]), "Deployment", "StatefulSet"):
        for container in pod(workload)["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert probe in container
                assert "initialDelaySeconds" not in container[probe]


@pytest.mark.parametrize("case", CASES)
def test_probes_ask_ports_that_are_there(case: str) -> None:
    for workload in of_kind(rendered(CASES[case]), "Deployment", "StatefulSet"):
        for container in pod(workload)["containers"]:
            names = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                for how in ("httpGet", "tcpSocket"):
                    assert container[probe].get(how, {}).get("port", next(iter(names))) in names
                if "grpc" in container[probe]:
                    assert container[probe]["grpc"]["port"] in names.values()


@pytest.mark.parametrize("service", SERVICES)
def test_readiness_asks_for_a_service_that_exists_and_liveness_for_the_process(service: str) -> None:
    container = pod(one(rendered(), "Deployment", f"parley-{service}"))["containers"][0]
    assert container["readinessProbe"]["grpc"]["service"] in service_names()
    assert container["readinessProbe"]["grpc"]["service"].startswith(f"parley.{service}.v1.")
    assert "service" not in container["livenessProbe"]["grpc"]
    assert "service" not in container["startupProbe"]["grpc"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_command_is_a_service_of_this_repository(service: str) -> None:
    command = pod(one(rendered(), "Deployment", f"parley-{service}"))["containers"][0]["command"]
    assert command[:2] == ["python", "-m"]
    assert (ROOT / command[2].replace(".", "/") / "__main__.py").exists()


def test_with_tls_the_kubelet_asks_a_plaintext_port() -> None:
    container = pod(one(rendered({"mtls": {"enabled": True}}), "Deployment", "parley-chat"))["containers"][0]
    (port,) = [item["containerPort"] for item in container["ports"] if item["name"] == "health"]
    assert all(
        container[probe]["grpc"]["port"] == port for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    )
    assert environment(one(rendered({"mtls": {"enabled": True}}), "Deployment", "parley-chat"))[
        "PARLEY_CHAT_HEALTH_LISTEN"
    ].endswith(f":{port}")


def test_triton_is_asked_over_http() -> None:
    container = pod(one(rendered(), "Deployment", "parley-triton-embedded"))["containers"][0]
    assert container["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


@pytest.mark.parametrize("case", CASES)
def test_a_start_may_take_its_time(case: str) -> None:
    for workload in deployments(case):
        probe = pod(workload)["containers"][0]["startupProbe"]
        budget = probe["periodSeconds"] * probe["failureThreshold"]
        assert budget >= (900 if component(workload).startswith("triton") else 60)
        for container in pod(workload).get("initContainers", []):
            # Whatever is downloaded first.
            budget += int(container["command"][-1])
        assert workload["spec"]["progressDeadlineSeconds"] > budget


@pytest.mark.parametrize("case", CASES)
def test_the_grace_period_is_longer_than_what_happens_in_it(case: str) -> None:
    for workload in deployments(case):
        container = pod(workload)["containers"][0]
        stop = container["lifecycle"]["preStop"]
        grace = pod(workload)["terminationGracePeriodSeconds"]
        if component(workload) == "gateway":
            *_, before, drain = stop["exec"]["command"]
            assert grace > float(before) + float(drain)
            assert float(before) >= 5
            continue
        told = environment(workload)
        name = "PARLEY_TRITON_EXIT_SECONDS"
        drain = told.get(name) or told[f"PARLEY_{component(workload).upper()}_DRAIN_SECONDS"]
        assert 5 <= stop["sleep"]["seconds"] <= 15
        assert grace > stop["sleep"]["seconds"] + float(drain)


def test_the_gateway_waits_at_least_as_long_as_the_services_behind_it() -> None:
    objects = rendered()
    gateway = pod(one(objects, "Deployment", "parley-gateway"))["terminationGracePeriodSeconds"]
    assert all(
        gateway >= pod(one(objects, "Deployment", f"parley-{s}"))["terminationGracePeriodSeconds"] for s in SERVICES
    )


@pytest.mark.parametrize("case", [case for case in CASES if case != "dev"])
def test_pods_are_spread_over_zones_and_nodes(case: str) -> None:
    for workload in deployments(case):
        constraints = pod(workload)["topologySpreadConstraints"]
        assert {item["topologyKey"] for item in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for item in constraints:
            assert item["whenUnsatisfiable"] == "ScheduleAnyway"
            assert item["matchLabelKeys"] == ["pod-template-hash"]
            assert item["labelSelector"]["matchLabels"] == workload["spec"]["selector"]["matchLabels"]


def test_the_gateways_pods_are_replaced_when_its_configuration_changes_and_others_are_not() -> None:
    before, after = rendered(), rendered({"clusterDomain": "example.org"})

    def checksum(objects: list[dict[str, Any]], name: str) -> Any:
        return (
            one(objects, "Deployment", name)["spec"]["template"]["metadata"]
            .get("annotations", {})
            .get("checksum/config")
        )

    assert checksum(before, "parley-gateway") != checksum(after, "parley-gateway")
    assert checksum(before, "parley-chat") is checksum(after, "parley-chat") is None
    assert checksum(before, "parley-triton-embedded") == checksum(after, "parley-triton-embedded")


@pytest.mark.parametrize("service", [*SERVICES, "gateway"])
def test_a_rollout_of_a_service_never_has_fewer_pods(service: str) -> None:
    strategy = one(rendered(), "Deployment", f"parley-{service}")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.mark.parametrize("group", ["speech", "diffusion"])
def test_a_rollout_on_gpus_needs_no_further_gpu(group: str) -> None:
    rolling = one(rendered({"triton": {"profile": "gpu"}}), "Deployment", f"parley-triton-{group}")["spec"]["strategy"]
    assert rolling["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    alone = one(rendered(CASES["image-volume"]), "Deployment", f"parley-triton-{group}")["spec"]["strategy"]
    assert alone == {"type": "Recreate"}


@pytest.mark.parametrize("group", ["speech", "diffusion"])
def test_gpus_are_requested_and_limited_alike(group: str) -> None:
    for values, name in (
        ({"triton": {"profile": "gpu"}}, "nvidia.com/gpu"),
        (CASES["everything"], "nvidia.com/mig-1g.10gb"),
    ):
        resources = pod(one(rendered(values), "Deployment", f"parley-triton-{group}"))["containers"][0]["resources"]
        assert resources["requests"][name] == resources["limits"][name] == 1


@pytest.mark.parametrize(
    ("case", "selector", "taint"),
    [
        ("aks", {"kubernetes.azure.com/accelerator": "nvidia"}, "sku"),
        ("eks", {"nvidia.com/gpu.present": "true"}, "nvidia.com/gpu"),
        ("gke", {"cloud.google.com/gke-accelerator": "nvidia-l4"}, "nvidia.com/gpu"),
    ],
)
def test_gpu_pods_go_to_gpu_nodes_and_others_do_not(case: str, selector: dict[str, str], taint: str) -> None:
    for workload in deployments(case):
        if component(workload).startswith("triton"):
            assert pod(workload)["nodeSelector"] == selector
            assert taint in {item["key"] for item in pod(workload)["tolerations"]}
        else:
            assert not {"nodeSelector", "tolerations"} & set(pod(workload))


@pytest.mark.parametrize("case", CASES)
def test_migrations_run_before_a_revision_and_leave_nothing(case: str) -> None:
    objects = rendered(CASES[case])
    jobs = [item for item in of_kind(objects, "Job") if component(item).endswith("-migrate")]
    wanted = set() if case in ("minimal", "dev") else {f"{service}-migrate" for service in SERVICES}
    assert {component(item) for item in jobs} == wanted
    for job in jobs:
        annotations = job["metadata"]["annotations"]
        assert "pre-upgrade" in annotations["helm.sh/hook"]
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        service = component(job).removesuffix("-migrate")
        image = pod(one(objects, "Deployment", f"parley-{service}"))["containers"][0]["image"]
        assert pod(job)["containers"][0]["image"] == image, "the schema is the new revision's"


@pytest.mark.parametrize("case", CASES)
def test_hooks_make_no_rights(case: str) -> None:
    """Helm does not remove them with the release."""
    kinds = {item["kind"] for item in rendered(CASES[case]) if hook(item)}
    assert kinds <= {"Job", "Pod"}
    assert not of_kind(rendered(CASES[case]), "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


@pytest.mark.parametrize("case", CASES)
def test_the_release_can_be_tested(case: str) -> None:
    objects = rendered(CASES[case])
    (job,) = [item for item in objects if item["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    asked = {argument.partition("=")[0] for argument in pod(job)["containers"][0]["args"]}
    assert asked == {component(w) for w in of_kind(objects, "Deployment") if not component(w).startswith("triton")}


def test_priority_and_runtime_classes_are_named() -> None:
    objects = rendered(CASES["everything"])
    assert pod(one(objects, "Deployment", "parley-chat"))["priorityClassName"] == "high"
    assert pod(one(objects, "Deployment", "parley-triton-speech"))["runtimeClassName"] == "nvidia"


def test_on_one_node_databases_are_files() -> None:
    objects = rendered(CASES["dev"])
    chat = one(objects, "Deployment", "parley-chat")
    assert environment(chat)["PARLEY_CHAT_DATABASE_URL"] == "sqlite:////var/lib/parley/chat.db"
    assert {"name": "data", "mountPath": "/var/lib/parley"} in pod(chat)["containers"][0]["volumeMounts"]
    assert not of_kind(objects, "PersistentVolumeClaim", "Secret", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    assert chat["spec"]["strategy"] == {"type": "Recreate"}
