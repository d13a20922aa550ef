"""Hosts on this machine: network namespaces on a bridge, in which commands have processes and a /tmp/ray of their own."""

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
from pathlib import Path

BRIDGE, OUTSIDE = "swbr0", "10.77.0.254"  # this machine's address on the bridge
NEW = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def line(command: list) -> str:
    return shlex.join(map(str, command))


def address(number: int) -> str:
    return f"10.77.0.{number}"


@contextlib.contextmanager
def hosts(count: int):
    """As near to so many machines as one allows, numbered from 1.

    Yields a function that runs a command on one of them, from which a folder can be hidden, and one that cuts or mends the wire
    of another."""
    numbers, started = range(1, count + 1), []
    plumbing = [f"ip link add {BRIDGE} type bridge", f"ip addr add {OUTSIDE}/24 dev {BRIDGE}", f"ip link set {BRIDGE} up"]
    for number in numbers:
        plumbing += [
            f"ip netns add swn{number}",
            f"ip link add swv{number} type veth peer name eth0 netns swn{number}",
            f"ip link set swv{number} master {BRIDGE} up",
            f"ip -n swn{number} link set lo up",
            f"ip -n swn{number} addr add {address(number)}/24 dev eth0",
            f"ip -n swn{number} link set eth0 up",
            f"ip -n swn{number} route add default via {OUTSIDE}",
        ]

    def on(number: int, command: list, hidden: Path | None = None, **options) -> subprocess.Popen:
        mounts = "".join(f"mount -t tmpfs tmpfs {folder} && " for folder in ("/tmp/ray", hidden) if folder)
        inside = [*NEW, "bash", "-c", f"{mounts}exec {line(command)}"]
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/swn{number}", *inside], start_new_session=True, **options)
        started.append(process)
        return process

    def wire(number: int, state: str) -> None:
        subprocess.run(["ip", "link", "set", f"swv{number}", state], check=True)

    Path("/tmp/ray").mkdir(exist_ok=True)
    with open(f"/run/{BRIDGE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # their names and addresses are this machine's: one test at a time has them
        try:
            for command in plumbing:
                subprocess.run(command.split(), check=True, capture_output=True)
            yield on, wire
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for number in numbers:
                subprocess.run(["ip", "link", "delete", f"swv{number}"], capture_output=True)  # its namespace may live on a while
                subprocess.run(["ip", "netns", "delete", f"swn{number}"], capture_output=True)
            subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True)
