"""What the node's parts are told: pure renderings of a slot's plan into the files and flags each part reads.

Where a part reads YAML it gets JSON, which is YAML too and needs nothing but the machine's bare Python.
"""

from __future__ import annotations

import json
from pathlib import Path

from switchyard_testkit import walls
from switchyard_testkit.node import first_process
from switchyard_testkit.node.pki import Identity
from switchyard_testkit.node.plan import Places, Slot

ADMINISTRATOR = "admin"
PAUSE_IMAGE = "switchyard.local/pause:1"
PROVISIONER = "switchyard.dev/local-volumes"
CNI_PLUGINS = "/usr/lib/cni"  # where Debian's containernetworking-plugins puts them
AUDITED = tuple(f"system:serviceaccount:switchyard-system:switchyard-{part}" for part in ("operator", "gateway"))
"""The service accounts of the parts that speak to the API server, as the chart installs them for demo and tests."""
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def identities(slot: Slot) -> dict[str, Identity]:
    """Who asks the API server as whom."""
    return {
        ADMINISTRATOR: Identity("switchyard-admin", ("system:masters",)),
        "apiserver-client": Identity("kube-apiserver-client", ("system:masters",)),  # towards the kubelet
        "kube-controller-manager": Identity("system:kube-controller-manager"),
        "kube-scheduler": Identity("system:kube-scheduler"),
        "kube-proxy": Identity("system:kube-proxy"),
        "kubelet": Identity(f"system:node:{slot.node_name}", ("system:nodes",)),
        "coredns": Identity("switchyard:coredns"),
        "local-volumes": Identity("switchyard:local-volumes"),
        "walls": Identity("switchyard:walls"),
    }


def containerd(places: Places) -> str:
    return f"""\
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE no process may be made less likely to be killed than we are; asking anyway kills the pod.
  restrict_oom_score_adj = true
  # A loaded AppArmor profile would stay with the machine when the node goes.
  disable_apparmor = true
  max_concurrent_downloads = 10
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{places.etc}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{places.etc}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def registry_hosts(slot: Slot) -> str:
    """The node's own registry speaks plain HTTP: it is reachable from this machine only."""
    return f"""\
server = "http://{slot.registry}"

[host."http://{slot.registry}"]
  capabilities = ["pull", "resolve"]
"""


def registry(places: Places) -> str:
    return _json(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(places.registry_data)},
                "delete": {"enabled": True},
            },
            "http": {"addr": places.slot.registry, "relativeurls": True},
        }
    )


def cni(slot: Slot) -> str:
    """Routed pairs, no bridge: every packet passes the node's packet rules, so Services and walls hold for all pods."""
    return _json(
        {
            "cniVersion": "0.4.0",
            "name": "switchyard",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": slot.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
    )


def kubelet(places: Places) -> str:
    slot = places.slot
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(places.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "address": slot.node_ip,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "clusterDNS": [slot.node_ip],
            "clusterDomain": "cluster.local",
            "resolvConf": str(places.etc / first_process.RESOLV_CONF),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{slot.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "maxPods": 250,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "serializeImagePulls": False,
            # A nearly full machine must not lose pods or images in the middle of a test; `up` checks the disk.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "10Mi",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
                "imagefs.inodesFree": "0%",
            },
        }
    )


def kube_proxy(places: Places) -> str:
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(places.etc / "kube-proxy.kubeconfig")},
            "mode": "iptables",
            "clusterCIDR": places.slot.pods,
            "hostnameOverride": places.slot.node_name,
            "oomScoreAdj": 0,
            "iptables": {"minSyncPeriod": "100ms"},
            # These limits belong to the machine; zero leaves them alone.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
    )


def coredns(places: Places) -> str:
    """Names of the cluster, and for every other name a quick 'no such name': the node has no way out to ask."""
    slot = places.slot
    return f"""\
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {slot.node_ip}
    errors
    ready {slot.node_ip}:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {places.etc}/coredns.kubeconfig
        pods insecure
        ttl 5
    }}
}}

.:53 {{
    bind {slot.node_ip}
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


def audit_policy() -> str:
    """A line for each request of our own service accounts, without contents; of nobody else's, so it costs little."""
    return _json(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": list(AUDITED)}, {"level": "None"}],
        }
    )


def add_ons() -> str:
    """The default StorageClass, and what CoreDNS, the provisioner and the walls may do."""

    def binding(name: str, role: str, user: str) -> dict[str, object]:
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }

    read = ["get", "list", "watch"]
    return _json(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "StorageClass",
                    "metadata": {
                        "name": "standard",
                        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                    },
                    "provisioner": PROVISIONER,
                    "reclaimPolicy": "Delete",
                    "volumeBindingMode": "WaitForFirstConsumer",
                },
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "metadata": {"name": "switchyard:coredns"},
                    "rules": [
                        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
                        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
                    ],
                },
                binding("switchyard:coredns", "switchyard:coredns", "switchyard:coredns"),
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "metadata": {"name": "switchyard:walls"},
                    "rules": [
                        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": read},
                        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read},
                    ],
                },
                binding("switchyard:walls", "switchyard:walls", "switchyard:walls"),
                binding("switchyard:local-volumes", "system:persistent-volume-provisioner", "switchyard:local-volumes"),
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "metadata": {"name": "switchyard:local-volumes-nodes"},
                    "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": read}],
                },
                binding("switchyard:local-volumes-nodes", "switchyard:local-volumes-nodes", "switchyard:local-volumes"),
            ],
        },
    )


def walls_program(places: Places) -> dict[Path, str]:
    """The program that enforces NetworkPolicies, copied: the node outlives the clone that made it, and follows none."""
    sources = Path(walls.__file__).parent
    package = places.walls / sources.parent.name
    return {
        places.walls / "__main__.py": f"from {walls.__name__}.enforcer import main\n\nmain()\n",
        package / "__init__.py": (sources.parent / "__init__.py").read_text(),
        **{package / sources.name / path.name: path.read_text() for path in sorted(sources.glob("*.py"))},
    }


def files(places: Places, pause: Path) -> dict[Path, str]:
    """Every file that is rendered, none of which holds a secret."""
    slot, etc = places.slot, places.etc
    return {
        etc / "containerd.toml": containerd(places),
        etc / "certs.d" / slot.registry / "hosts.toml": registry_hosts(slot),
        etc / "registry.yaml": registry(places),
        etc / "cni" / "10-switchyard.conflist": cni(slot),
        etc / "kubelet.yaml": kubelet(places),
        etc / "kube-proxy.yaml": kube_proxy(places),
        etc / "Corefile": coredns(places),
        etc / "add-ons.yaml": add_ons(),
        etc / "audit-policy.yaml": audit_policy(),
        **walls_program(places),
        **first_process.files(places, pause),
    }


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, indent=1) + "\n"
