"""Switchyard installed by its own chart into a slot's cluster, as a platform team would, and where its parts then are.

`python -m switchyard_testkit.install --slot S` installs or upgrades, waits until every part is ready, and writes
`installation.json` beside the cluster's description: addresses and tokens, for the demo and for tests. With `--values`
it installs nothing and prints the chart's values that name the slot's images, for a `helm install` by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from switchyard_testkit import outside
from switchyard_testkit.toolchain import tool_path

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "switchyard"
NAMESPACE = "switchyard-system"
RELEASE = "switchyard"
IMAGES = {
    "operator.image": "switchyard/operator",
    "gateway.envoy.image": "switchyard/envoy",
    "gateway.image": "switchyard/gateway",
    "feedback.image": "switchyard/feedback",
    "monitor.image": "switchyard/monitor",
    "kafka.embedded.image": "switchyard/kafka",
}
HERE = [{"ipBlock": {"cidr": cidr}} for cidr in ("10.99.0.0/16", "172.16.0.0/12")]
"""This machine, as pods see it: the nodes' links, and the networks that container engines make."""
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class InstallError(RuntimeError):
    """The installation did not come up; the message names the part and what it said."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the parts of an installed Switchyard are, and the tokens to speak to them."""

    slot: str
    kubeconfig: str
    namespace: str
    gateway: str
    feedback: str
    monitor: str
    operator: str
    feedback_token: str
    monitor_token: str
    operator_token: str

    @classmethod
    def read(cls, slot: str) -> Installation:
        """What the last installation into the slot wrote."""
        path = slot_folder(slot) / "installation.json"
        if not path.exists():
            raise InstallError(
                f"Switchyard is not installed in slot {slot}; run `make demo` or `make test-cluster` first"
            )
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def slot_folder(slot: str) -> Path:
    """Where the slot's files are."""
    cache = Path(os.environ.get("SWITCHYARD_CACHE", Path.home() / ".cache" / "switchyard"))
    return cache / "nodes" / slot


def run(*command: str, kubeconfig: str, check: bool = True, given: str | None = None) -> str:
    """Run kubectl or helm against the slot's cluster; what it printed, or an error that repeats its words."""
    done = subprocess.run(
        [str(tool_path(command[0])), *command[1:]],
        env={**os.environ, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        input=given,
        check=False,
    )
    if check and done.returncode:
        raise InstallError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def tokens(folder: Path) -> dict[str, str]:
    """The slot's tokens, made once and kept, so that an upgrade changes nothing."""
    path = folder / "tokens.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if missing := {"feedback", "monitor", "operator", "feedback-monitor", "desk"} - kept.keys():
        made = kept | {name: secrets.token_hex(24) for name in sorted(missing)}
        half = path.with_suffix(".part")
        half.write_text(json.dumps(made), encoding="utf-8")
        half.chmod(0o600)
        half.rename(path)
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def chart_values(images: dict[str, str], held: dict[str, str], extra: dict[str, Any]) -> dict[str, Any]:
    """The values of a small installation with the embedded broker."""
    values: dict[str, Any] = {
        "feedback": {
            "tokens": [{"name": "demo", "token": held["feedback"], "deployments": ["*"]}],
            "monitorToken": held["feedback-monitor"],
        },
        "monitor": {
            "tokens": [{"name": "demo", "token": held["monitor"], "deployments": ["*"]}],
            "operatorToken": held["operator"],
        },
        "kafka": {"embedded": {"enabled": True}},
        # Tests and demo look into the parts from this machine.
        "networkPolicy": {door: {"from": HERE} for door in ("monitor", "metrics", "kafka")},
    }
    return merged(merged(values, image_values(images)), extra)


def image_values(images: dict[str, str]) -> dict[str, Any]:
    """The values that name the images, by digest."""
    values: dict[str, Any] = {}
    for key, title in IMAGES.items():
        repository, _, digest = images[title].partition("@")
        place = values
        for part in key.split("."):
            place = place.setdefault(part, {})
        place.update(repository=repository, digest=digest)
    return values


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Values laid over values, as Helm does it."""
    result = dict(base)
    for key, value in change.items():
        held = result.get(key)
        result[key] = merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return result


def unready(kubeconfig: str) -> list[str]:
    """Pods of the release that are not ready, with what each waits for; and workloads that lack new pods."""
    found: list[str] = []
    pods = json.loads(run("kubectl", "-n", NAMESPACE, "get", "pods", "-o", "json", kubeconfig=kubeconfig))["items"]
    for pod in pods:
        status = pod["status"]
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
            continue
        containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        reasons = [f"{c['name']}: {stands(c['state'])}" for c in containers if not c.get("ready")]
        found.append(f"{pod['metadata']['name']} ({'; '.join(reasons) or status.get('phase', 'Pending')})")
    for kind in ("deployments", "statefulsets"):
        for item in json.loads(run("kubectl", "-n", NAMESPACE, "get", kind, "-o", "json", kubeconfig=kubeconfig))[
            "items"
        ]:
            status = item.get("status", {})
            wanted = item["spec"]["replicas"]
            current = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
            if not (current and status.get("updatedReplicas", 0) == wanted == status.get("readyReplicas", 0)):
                found.append(f"{item['metadata']['name']} ({status.get('readyReplicas', 0)} of {wanted} ready)")
    return found


def stands(state: dict[str, Any]) -> str:
    """Why a container does not run, in the kubelet's word."""
    return str((state.get("waiting") or state.get("terminated") or {}).get("reason", "starting"))


def wait_ready(kubeconfig: str, seconds: float) -> None:
    """Wait until every part is ready, saying every few seconds what is waited for."""
    began, told, next_line = time.monotonic(), "", 0.0
    while missing := unready(kubeconfig):
        waited = time.monotonic() - began
        if waited > seconds:
            lines = run("kubectl", "-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp", kubeconfig=kubeconfig)
            logs = "\n".join(last_words(name.split(" ")[0], kubeconfig) for name in missing)
            raise InstallError(
                f"after {seconds:g} s these are not ready: {', '.join(missing)}\n{logs}\n"
                f"the newest events:\n{chr(10).join(lines.splitlines()[-15:])}"
            )
        # Pods say more than the workloads that wait for them, and their list changes with each container: every 5 s do.
        now = ", ".join(item for item in missing if " of " not in item) or ", ".join(missing)
        if now != told and waited >= next_line:
            next_line = waited + 5
            print(f"install: {waited:3.0f} s, waiting for {now}", flush=True)
            told = now
        time.sleep(1)
    print(f"install: every part is ready after {time.monotonic() - began:.0f} s", flush=True)


def last_words(pod: str, kubeconfig: str) -> str:
    """The end of a pod's logs, for the error message."""
    arguments = ("-n", NAMESPACE, "logs", pod, "--all-containers", "--prefix", "--tail", "15")
    return run("kubectl", *arguments, kubeconfig=kubeconfig, check=False)


def service_address(name: str, kubeconfig: str) -> str:
    """The Service's own address inside the cluster's network, which this machine reaches too."""
    service = json.loads(run("kubectl", "-n", NAMESPACE, "get", "service", name, "-o", "json", kubeconfig=kubeconfig))
    return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"


def install(
    slot: str, *, extra: dict[str, Any] | None = None, seconds: float = 300, chart: Path = CHART
) -> Installation:
    """Install or upgrade, wait, and write down where everything is."""
    folder = slot_folder(slot)
    kubeconfig = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))["kubeconfig"]
    images = json.loads((folder / "images.json").read_text(encoding="utf-8"))
    held = tokens(folder)
    values = folder / "values.json"
    wanted = merged(outside.values(slot), extra or {})
    values.write_text(json.dumps(chart_values(images, held, wanted), indent=2), encoding="utf-8")
    values.chmod(0o600)
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"
    run("kubectl", "apply", "-f", "-", kubeconfig=kubeconfig, given=namespace)
    run("kubectl", "label", "--overwrite", "namespace", NAMESPACE, RESTRICTED, kubeconfig=kubeconfig)
    if secret := outside.secrets(slot, folder, key=held["desk"]):
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": secret})
        run("kubectl", "-n", NAMESPACE, "apply", "-f", "-", kubeconfig=kubeconfig, given=given)
    # The contract tests may have put the CRDs there first; with the last flag the chart takes them over.
    arguments = [
        "upgrade", "--install", RELEASE, str(chart),
        "--namespace", NAMESPACE, "--values", str(values), "--take-ownership",
    ]  # fmt: skip
    run("helm", *arguments, kubeconfig=kubeconfig)
    wait_ready(kubeconfig, seconds)
    installation = Installation(
        slot=slot,
        kubeconfig=kubeconfig,
        namespace=NAMESPACE,
        gateway=service_address(f"{RELEASE}-gateway", kubeconfig),
        feedback=service_address(f"{RELEASE}-feedback", kubeconfig),
        monitor=service_address(f"{RELEASE}-monitor", kubeconfig),
        operator=service_address(f"{RELEASE}-operator", kubeconfig),
        feedback_token=held["feedback"],
        monitor_token=held["monitor"],
        operator_token=held["operator"],
    )
    written = folder / "installation.json"
    written.write_text(json.dumps(asdict(installation), indent=2), encoding="utf-8")
    written.chmod(0o600)
    return installation


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="switchyard_testkit.install", description=__doc__)
    parser.add_argument("--slot", required=True)
    parser.add_argument("--values", action="store_true", help="only print the chart's values that name the images")
    options = parser.parse_args()
    try:
        if options.values:
            images = json.loads((slot_folder(options.slot) / "images.json").read_text(encoding="utf-8"))
            sys.stdout.write(yaml.safe_dump(image_values(images)))
        else:
            install(options.slot)
    except InstallError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
