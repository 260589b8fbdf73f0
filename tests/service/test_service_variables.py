"""A Service of Kubernetes, or a linked container of Docker, called imgserve: its variables look like settings."""

from argparse import Namespace
from pathlib import Path

import pytest

from imgserve.settings.load import SettingsInvalid, load, locate
from tests.support.daemon import Daemon, wait_until
from tests.support.operating import command

KUBERNETES = {
    "IMGSERVE_SERVICE_HOST": "10.96.12.7", "IMGSERVE_SERVICE_PORT": "8602", "IMGSERVE_SERVICE_PORT_HTTP": "8602",
    "IMGSERVE_PORT": "tcp://10.96.12.7:8602", "IMGSERVE_PORT_8602_TCP": "tcp://10.96.12.7:8602",
    "IMGSERVE_PORT_8602_TCP_PROTO": "tcp", "IMGSERVE_PORT_8602_TCP_PORT": "8602",
    "IMGSERVE_PORT_8602_TCP_ADDR": "10.96.12.7", "IMGSERVE_PORT_53_UDP": "udp://10.96.12.7:53",
    "IMGSERVE_PORT_53_UDP_ADDR": "10.96.12.7", "IMGSERVE_METRICS_SERVICE_HOST": "fd00::1",
    "IMGSERVE_METRICS_PORT": "tcp://[fd00::1]:9090", "IMGSERVE_METRICS_PORT_9090_TCP_ADDR": "fd00::1",
    "IMGSERVE_METRICS_SERVICE_PORT": "9090",
}  # fmt: skip
DOCKER = {
    "IMGSERVE_NAME": "/shop/imgserve", "IMGSERVE_PORT": "tcp://172.17.0.5:8602", "IMGSERVE_ENV_PYTHON_VERSION": "3.13",
    "IMGSERVE_1_NAME": "/shop_web_1/imgserve_1", "IMGSERVE_1_PORT": "tcp://172.17.0.5:8602",
    "IMGSERVE_1_PORT_8602_TCP": "tcp://172.17.0.5:8602", "IMGSERVE_1_ENV_LANG": "C.UTF-8",
}  # fmt: skip


@pytest.mark.parametrize("variables", [KUBERNETES, DOCKER], ids=["Kubernetes", "Docker"])
def test_variables_of_a_service_called_imgserve_are_no_settings(variables: dict[str, str]) -> None:
    environ = {**variables, "HOME": "/nonexistent", "IMGSERVE_WORKERS": "3"}
    loaded = load(Namespace(), environ)
    assert (loaded.api.port, loaded.pool.workers) == (8602, 3)
    assert loaded.ignored_variables == tuple(sorted(variables))
    assert locate(Namespace(), environ).data_dir == locate(Namespace(), {"HOME": "/nonexistent"}).data_dir


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMGSERVE_PORT", "tcp:8602"),
     ("IMGSERVE_PORT", "http://x:1"), ("IMGSERVE_SERVICE", "x"), ("IMGSERVE_SERVICES", "1"),
     ("IMGSERVE_HOST_PORT", "8602"), ("IMGSERVE_PORT_HTTP", "80")],
)  # fmt: skip
def test_what_no_service_sets_is_still_told(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=name):
        load(Namespace(), {"HOME": "/nonexistent", name: value})


def test_the_server_starts_and_tells_once(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data", environment=KUBERNETES) as server:
        wait_until(lambda: "variables_ignored" in server.log)  # a thread writes it
        assert server.log.count("variables_ignored") == 1
        assert "IMGSERVE_PORT,IMGSERVE_PORT_53_UDP," in server.log
        status = command("status", "--data-dir", server.data_dir, stdin=b"", **KUBERNETES)
        assert status.returncode == 0, status.stderr
