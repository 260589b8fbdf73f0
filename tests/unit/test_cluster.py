"""The files in deploy/ for several servers: what Helm and the schemas of Kubernetes and compose say, and our rules."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from imgserve.api.config import Config as ApiConfig
from imgserve.api.routes import Routes, table
from imgserve.cli.main import whole
from imgserve.settings.load import load
from imgserve.settings.options import BY_NAME, VARIABLE_PREFIX
from imgserve.settings.tree import Settings
from imgserve.telemetry import metrics
from tests.support.chart import CHART, HEAD, MANIFESTS, Rendering, rendered
from tests.unit.test_deploy import DEPLOY, ROOT, lines_of_dockerfile

COMPOSE = DEPLOY / "compose-cluster.yaml"
ROLES = ("api", "runner")
OLDEST, NEWEST = "1.25", "1.37"
# Each value that adds something to the manifests or takes something away.
OTHER_VALUES = {
    "image": {"repository": "registry.test/imgserve", "tag": "9"},
    "queue": {"url": "postgresql://me@pooler:6432/jobs", "direct": "postgresql://me@a,b/jobs", "caSecret": "authority"},
    "secrets": ["shop", "bucket"],
    "settings": 'lease_s = 30\n[credential.shop]\npassword_file = "/run/secrets/shop/password"\n',
    "drainSeconds": 100,
    "api": {"replicas": 5},
    "runner": {"replicas": 7, "autoscaling": {"enabled": False}},
    "network": {"databasePorts": [5432, 6432], "transferPorts": [21, 443], "clients": [{"namespaceSelector": {}}]},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "pictures", "operator": "Exists"}],
}

Object = dict[str, Any]  # of YAML that others' schemas describe

needs_helm = pytest.mark.skipif(sys.platform != "linux", reason="Helm's library is a wheel for Linux on x86-64")


# Values that are misspelt or have a password in them, and what Helm says of each.
REFUSED: tuple[tuple[Object, str], ...] = (
    ({"drain": 30}, "'drain' not allowed"),
    ({"runner": {"autoscaling": {"maximum": 3}}}, "'maximum' not allowed"),
    ({"queue": {"url": "mysql://db/jobs"}}, "does not match pattern"),
    ({"queue": {"url": "postgresql://me:pw@db/jobs"}}, "does not match pattern"),
    ({"queue": {"url": "postgresql://me@db/jobs?password=pw"}}, "/queue/url"),
    ({"network": {"clients": []}}, "/network/clients"),
)


def values_on_the_page() -> Object:
    [text] = re.findall(r"```yaml\n(image:.*?)```", (ROOT / "docs/howto/scale-out.md").read_text(), re.DOTALL)
    values: Object = yaml.safe_load(text)
    return values


@cache
def _all() -> list[Rendering]:
    return rendered({}, OTHER_VALUES, values_on_the_page(), *(values for values, _ in REFUSED))


def by_default() -> Rendering:
    return _all()[0]


def by_other_values() -> Rendering:
    return _all()[1]


def objects(manifests: str) -> dict[tuple[str, str], Object]:
    """By kind and name."""
    documents = [one for one in yaml.safe_load_all(manifests) if one is not None]
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert len(found) == len(documents), "two of one name"
    return found


def kept(kind: str, role: str) -> Object:
    """Of the manifests with the chart's own values."""
    return objects(MANIFESTS.read_text())[kind, f"imgserve-{role}"]


def kept_text(kind: str) -> str:
    """Of the one object of that kind."""
    [text] = [text for text in MANIFESTS.read_text().split("---\n") if f"\nkind: {kind}\n" in text]
    return text


def pod_of(role: str) -> Object:
    pod: Object = kept("Deployment", role)["spec"]["template"]["spec"]
    return pod


def container_of(role: str) -> Object:
    [container] = pod_of(role)["containers"]
    assert isinstance(container, dict)
    return container


def judged(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name(program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_helm
def test_helm_finds_nothing(tmp_path: Path) -> None:
    assert by_default().findings == ()
    assert by_other_values().findings == ()
    broken = shutil.copytree(CHART, tmp_path / "imgserve")
    template = broken / "templates/settings.yaml"
    template.write_text(template.read_text().replace("name: {{ .Release.Name }}", "name: no_name", 1))
    [of_broken] = rendered({}, chart=broken)
    [finding] = of_broken.findings
    assert "object name does not conform" in finding


@needs_helm
def test_the_manifests_are_the_charts() -> None:
    assert MANIFESTS.read_text() == HEAD + by_default().manifests, "make docs writes them"


@needs_helm
def test_no_value_is_misspelt_or_holds_a_password() -> None:
    for (values, sentence), rendering in zip(REFUSED, _all()[3:], strict=True):
        assert sentence in rendering.refusal, values
        assert not rendering.manifests


@needs_helm
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(version: str, tmp_path: Path) -> None:
    """The one that it does not know shows that it looks."""
    (tmp_path / "default.yaml").write_text(by_default().manifests)
    (tmp_path / "other.yaml").write_text(by_other_values().manifests)
    (tmp_path / "broken.yaml").write_text(kept_text("ConfigMap") + "binary: {}\n")
    words = ("--strict", "--quiet", "--kubernetes-version", version)
    told = judged("kubernetes-validate", *words, *sorted(tmp_path.iterdir()))
    [line] = told.stdout.splitlines()
    assert "broken.yaml" in line
    assert "'binary' was unexpected" in line


def test_compose_knows_every_key(tmp_path: Path) -> None:
    """The one that it does not know shows that it looks."""
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("depends_on", "depend_on"))
    words = ("--builtin-schema", "vendor.compose-spec", "--output-format", "json")
    told = judged("check-jsonschema", *words, COMPOSE, DEPLOY / "compose.yaml", broken)
    errors = json.loads(told.stdout)["errors"]
    assert {error["filename"] for error in errors} == {str(broken)}
    assert "depend_on" in str(errors)


def test_the_chart_has_the_programs_version_and_oldest_kubernetes() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version), "then make docs"
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def settings_of(container: Object, tmp_path: Path) -> Settings:
    """The settings that its words and variables give, with its mounts below ``tmp_path``."""
    for mount in container["volumeMounts"]:
        (tmp_path / mount["mountPath"].lstrip("/")).mkdir(parents=True)
    (tmp_path / "etc/imgserve/imgserve.toml").touch()
    (tmp_path / "run/secrets/queue/password").write_text("s3cret\n")
    (tmp_path / "run/secrets/keys/keys").write_text("a-key-of-sixteen-letters\n")
    environ = {one["name"]: one.get("value", "2") for one in container["env"]} | image_variables()
    assert all(name.startswith(VARIABLE_PREFIX) for name in environ)
    environ = {name: re.sub(r"^/", f"{tmp_path}/", value) for name, value in environ.items()}
    words = [re.sub(r"^/", f"{tmp_path}/", word) for word in container["args"]]
    flags = whole("start").parse_args(words)
    assert flags.foreground
    return load(flags, environ)


def image_variables() -> dict[str, str]:
    found = [value for name, value in lines_of_dockerfile() if name == "ENV"]
    words = [word.partition("=") for line in found for word in line.split()]
    return {name: value for name, _, value in words if name.startswith(VARIABLE_PREFIX)}


@pytest.mark.parametrize("role", ROLES)
def test_its_settings_are_those_of_a_server(role: str, tmp_path: Path) -> None:
    settings = settings_of(container_of(role), tmp_path)
    place = settings.queue_address
    assert (settings.role, place.shown) == (role, "postgresql://imgserve@postgres/imgserve?sslmode=require")
    assert place.password is not None
    assert place.password.text == "s3cret"
    assert len(settings.api.keys()) == 1
    assert settings.pool.workers == 2
    assert settings.data_dir == tmp_path / "data"


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_may_write_nothing_but_its_data(role: str) -> None:
    pod, container = pod_of(role), container_of(role)
    [user] = [value for name, value in lines_of_dockerfile() if name == "USER"]
    of_pod = pod["securityContext"]
    assert f"{of_pod['runAsUser']}:{of_pod['runAsGroup']}" == user
    assert (of_pod["runAsNonRoot"], of_pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert [one["name"] for one in container["volumeMounts"] if not one.get("readOnly")] == ["data"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_time_to_stop(role: str) -> None:
    container = container_of(role)
    [pause, drain] = [
        float(container["lifecycle"]["preStop"]["exec"]["command"][1]),
        float(next(one["value"] for one in container["env"] if one["name"] == "IMGSERVE_DRAIN_S")),
    ]
    assert pod_of(role)["terminationGracePeriodSeconds"] >= pause + drain + 20


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_is_not_restarted_for_a_lost_database(role: str) -> None:
    container = container_of(role)
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/health/live", "readiness": "/health", "liveness": "/health/live"}
    routes = Routes(table(ApiConfig()))
    assert {routes.at(path)["GET"].right for path in paths.values()} == {"open"}
    assert container["ports"] == [{"name": "http", "containerPort": BY_NAME["port"].default}]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_selected_by_what_concerns_it(role: str) -> None:
    deployment = kept("Deployment", role)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == role
    selectors = [
        deployment["selector"]["matchLabels"],
        kept("PodDisruptionBudget", role)["spec"]["selector"]["matchLabels"],
        kept("NetworkPolicy", role)["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in deployment["template"]["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert selector["app.kubernetes.io/component"] == role


def test_clients_reach_the_api_alone() -> None:
    [service] = [one for (kind, _), one in objects(MANIFESTS.read_text()).items() if kind == "Service"]
    assert service["spec"]["selector"]["app.kubernetes.io/component"] == "api"
    [of_api], [of_runner] = (kept("NetworkPolicy", role)["spec"]["ingress"] for role in ROLES)
    clients: Object = {"podSelector": {}}
    assert clients in of_api["from"]
    assert clients not in of_runner["from"]
    assert of_runner["from"], "without a peer it would be open to all"
    for role in ROLES:
        ports = [port["port"] for rule in kept("NetworkPolicy", role)["spec"]["egress"] for port in rule["ports"]]
        assert sorted(ports) == [53, 53, 80, 443, 5432]


def test_runners_are_scaled_by_a_metric_that_there_is() -> None:
    scaler = kept("HorizontalPodAutoscaler", "runner")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "imgserve-runner"
    assert "replicas" not in kept("Deployment", "runner")["spec"], "an upgrade would set the number back"
    [metric] = scaler["metrics"]
    name = metric["external"]["metric"]["name"]
    assert name in {one.name for one in metrics.REGISTRY.collect()}


@needs_helm
def test_values_reach_the_manifests() -> None:
    found = objects(by_other_values().manifests)
    assert ("HorizontalPodAutoscaler", "imgserve-runner") not in found
    api, runner = (found["Deployment", f"imgserve-{role}"]["spec"] for role in ROLES)
    assert (api["replicas"], runner["replicas"]) == (5, 7)
    pod = runner["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.test/imgserve:9"
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    assert {"/run/secrets/queue-ca", "/run/secrets/shop", "/run/secrets/bucket"} <= mounts
    assert {"name": "IMGSERVE_QUEUE_DIRECT", "value": "postgresql://me@a,b/jobs"} in container["env"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["terminationGracePeriodSeconds"] == 125
    assert tomllib.loads(found["ConfigMap", "imgserve"]["data"]["imgserve.toml"])["lease_s"] == 30
    before, after = (
        objects(one.manifests)["Deployment", "imgserve-api"]["spec"]["template"]["metadata"]["annotations"]
        for one in (by_default(), by_other_values())
    )
    assert before != after, "a changed setting would not reach the pods"


@needs_helm
def test_the_values_on_the_page_are_the_charts() -> None:
    found = objects(_all()[2].manifests)
    egress = found["NetworkPolicy", "imgserve-runner"]["spec"]["egress"]
    assert {"ipBlock": {"cidr": "192.168.1.10/32"}} in [peer for rule in egress for peer in rule["to"]]
    assert tomllib.loads(found["ConfigMap", "imgserve"]["data"]["imgserve.toml"]).keys() <= BY_NAME.keys()


def services() -> Iterator[tuple[str, Object]]:
    found = yaml.safe_load(COMPOSE.read_text())["services"]
    yield from ((role, found[role]) for role in ROLES)


def test_the_services_of_compose_are_servers(tmp_path: Path) -> None:
    """As the one of compose.yaml, and each with its role."""
    alone = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["imgserve"]
    for role, service in services():
        assert whole("start").parse_args(service["command"]).role == role
        names = {name.removeprefix(VARIABLE_PREFIX).lower() for name in service["environment"]}
        assert names <= BY_NAME.keys() | {f"{name}_file" for name in BY_NAME}
        same = ("read_only", "cap_drop", "security_opt", "stop_grace_period", "mem_limit", "pids_limit", "ulimits")
        assert {name: service[name] for name in same} == {name: alone[name] for name in same}
    ports = {role: service.get("ports") for role, service in services()}
    assert ports == {"api": alone["ports"], "runner": None}
    page = (ROOT / "docs/howto/scale-out.md").read_text()
    for secret in yaml.safe_load(COMPOSE.read_text())["secrets"].values():
        assert secret["file"].replace("./", "deploy/") in page + (ROOT / "docs/operations.md").read_text()


def test_the_database_of_compose_is_ready_before_the_servers() -> None:
    whole_file = yaml.safe_load(COMPOSE.read_text())
    database = whole_file["services"]["postgres"]
    assert "healthcheck" in database
    for _, service in services():
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        for name in service["secrets"]:
            assert name in whole_file["secrets"]
        password = service["environment"]["IMGSERVE_QUEUE_PASSWORD_FILE"]
        assert password == database["environment"]["POSTGRES_PASSWORD_FILE"]
