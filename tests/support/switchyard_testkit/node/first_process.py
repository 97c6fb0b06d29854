"""What process 1 of the node does before it holds the namespaces: it gives the node file systems of its own."""

from __future__ import annotations

from pathlib import Path

from switchyard_testkit.node.plan import Places

RESOLV_CONF = "resolv.conf"

# What the kubelet would write into the *machine's* settings. The node sees these files in their place, finds what it
# wants, and the machine keeps its own.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def files(places: Places, pause: Path) -> dict[Path, str]:
    """The script and what it lays over the machine's own files."""
    return {
        places.etc / "init.sh": script(places, pause),
        places.etc / RESOLV_CONF: f"nameserver {places.slot.node_ip}\n",
        **{places.etc / "kernel" / name: f"{value}\n" for name, value in KERNEL_SETTINGS.items()},
    }


def script(places: Places, pause: Path) -> str:
    """What process 1 of the node does before it becomes `pause`: give the node file systems of its own.

    /run and the folders where Kubernetes' parts keep state by default are the node's, so two nodes never meet there and
    nothing is left of them.
    """
    settings = "\n".join(
        f"if [ -e /proc/sys/{name} ]; then mount --bind {places.etc}/kernel/{name} /proc/sys/{name}; fi"
        for name in KERNEL_SETTINGS
    )
    return f"""\
#!/bin/sh
set -eu
# What others mounted before us was copied along: another node's network, a build's layers. Held here, it would outlive
# its owner.
awk '{{print $5}}' /proc/self/mountinfo | sort -r | while read -r path; do
  case $path in
    /run/netns | /run/netns/* | {places.cache_root}/*) umount --lazy "$path" ;;
  esac
done
mount --make-rshared /
resolv=$(readlink -f /etc/resolv.conf)
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns "$(dirname "$resolv")"
[ -e "$resolv" ] || touch "$resolv"
mount --bind {places.etc}/{RESOLV_CONF} "$resolv"
mount --bind {places.home}/var/lib /var/lib
mount --bind {places.home}/var/log /var/log
{settings}
echo 1 > /proc/sys/net/ipv4/ip_forward
# A call to a pod that had just died is remembered under its port; whoever got that port next would be sent there too.
patience=/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent
[ ! -e $patience ] || echo 5 > $patience
touch {places.home}/namespaces-ready
exec {pause} --node {places.home}
"""
