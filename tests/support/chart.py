"""Helm's own lint and rendering of the chart. A program, since the library has threads and signal handlers of Go's.

python -m tests.support.chart CHART '[{"values": "as JSON"}]'     print a Rendering of each as JSON
python -m tests.support.chart --write                           write deploy/kubernetes.yaml (``make docs``)
"""

import subprocess
import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart"
MANIFESTS = ROOT / "deploy/kubernetes.yaml"
RELEASE = "imgserve"
WARNING = 2  # Helm's severities: 1 information, 2 warning, 3 error
HEAD = """\
# The chart of deploy/chart with its own values, for clusters without Helm. `make docs` writes it.
# It needs two Secrets: docs/howto/scale-out.md
"""


class Rendering(msgspec.Struct, frozen=True):
    """``findings``: the warnings and errors of lint. ``manifests``: YAML, all of the chart. ``refusal``: Helm's
    sentence about values that the chart does not take; there are no manifests then.
    """

    findings: tuple[str, ...]
    manifests: str = ""
    refusal: str = ""


def rendered(*values: object, chart: Path = CHART) -> list[Rendering]:
    """With each of these values. One process for all, since it takes a while to load the library."""
    command = [sys.executable, "-m", "tests.support.chart", str(chart), msgspec.json.encode(values).decode()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True)
    return msgspec.json.decode(done.stdout, type=list[Rendering])


def _render(chart: Path, values: dict[str, object]) -> Rendering:
    import helm_python

    report = helm_python.lint(chart, values)
    findings = tuple(f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] >= WARNING)
    with helm_python.Chart.load(chart) as opened:
        try:
            opened.validate_schema(values)
            texts = opened.render(values, name=RELEASE, namespace=RELEASE)
        except helm_python.HelmError as error:
            return Rendering(findings, refusal=str(error))
    return Rendering(findings, "\n---\n".join(texts[name].strip() for name in sorted(texts)) + "\n")


def main(chart: str, values: str = "[{}]") -> None:
    if chart == "--write":
        MANIFESTS.write_text(HEAD + _render(CHART, {}).manifests)
        print(f"wrote {MANIFESTS.relative_to(ROOT)}")
        return
    sys.stdout.buffer.write(msgspec.json.encode([_render(Path(chart), one) for one in msgspec.json.decode(values)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
