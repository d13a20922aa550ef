"""The services of a Compose file as processes: each has a network, processes and a layer of files of its own, as a container has.

Commands, environments, volumes, host names, health checks and who waits for whom are the file's. What stands for an image is this
machine: its files with this project in /study, its Python's programs, and for PostgreSQL's what that image's own entry point does.
"""

import glob
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml
from hosts import address, line
from servers import wait_for

ROOT = Path(__file__).resolve().parent.parent
POSTGRESQL = """
set -e
cd /tmp
echo "$POSTGRES_PASSWORD" > /tmp/password
chown nobody "$PGDATA" /tmp/password
nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups"
$nobody initdb --username="$POSTGRES_USER" --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password
$nobody postgres --single -D "$PGDATA" postgres <<< "CREATE DATABASE $POSTGRES_USER"
echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
exec $nobody postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
CONTAINER = """
set -e
mount -t tmpfs tmpfs {layer}
mkdir {layer}/changed {layer}/work {layer}/root
mount -t overlay overlay -o lowerdir=/,upperdir={layer}/changed,workdir={layer}/work {layer}/root
cd {layer}/root
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs dev/shm
{volumes}
cp {names} etc/hosts
echo "nameserver 127.0.0.1" > etc/resolv.conf  # which answers at once that there is none
hostname {name}
exec chroot . bash -c 'cd /study && exec "$@"' bash {command}
"""


class Stack:
    """What the file says, and the services that were started, by name; what one says is in `folder`/NAME.txt."""

    def __init__(self, file: Path, variables: Mapping[str, str], folder: Path, on):
        self.services = yaml.safe_load(interpolated(file.read_text(), variables))["services"]
        self.variables, self.folder, self.on = variables, folder, on
        self.numbers = {name: number for number, name in enumerate(self.services, 1)}
        self.started: dict[str, subprocess.Popen] = {}
        lines = [f"{address(number)} {name}" for name, number in self.numbers.items()]
        (folder / "names").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def run(self, name: str, *arguments) -> subprocess.Popen:
        """The process of a service, started once all that it depends on is healthy; `arguments` stand in place of its command."""
        service = self.services[name]
        for other in service.get("depends_on", {}):
            if other not in self.started:
                self.run(other)
                wait_for(lambda other=other: self.healthy(other), 90)
        command = [*service.get("entrypoint", ()), *(arguments or service.get("command", ()))]
        if service["image"].startswith("postgres:"):
            command = ["bash", "-c", POSTGRESQL]
        inside = ["bash", "-c", self.container(name, command)]
        with open(self.folder / f"{name}.txt", "w") as said:
            self.started[name] = self.on(self.numbers[name], inside, stdout=said, stderr=said, env=self.environment(name))
        return self.started[name]

    def container(self, name: str, command: list) -> str:
        layer, mounted = self.folder / "layers" / name, [(ROOT, "study")]
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.split(":")
            mounted.append((self.folder / "volumes" / source, target.lstrip("/")))
        for place in (layer, *(source for source, _ in mounted)):
            place.mkdir(parents=True, exist_ok=True)
        volumes = "\n".join(f"mkdir -p {target}; mount --bind {source} {target}" for source, target in mounted)
        return CONTAINER.format(layer=layer, volumes=volumes, names=self.folder / "names", name=name, command=line(command))

    def environment(self, name: str) -> dict[str, str]:
        """The image's, and what the file says; what has no value there is one of the caller's variables."""
        programs = [str(Path(sys.executable).parent), *sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:], os.environ["PATH"]]
        own = {"PATH": ":".join(programs), "HOME": "/tmp", "PGDATA": "/var/lib/postgresql/data"}
        said = self.services[name].get("environment", {})
        given = {key: self.variables.get(key) if value is None else str(value) for key, value in said.items()}
        return own | {key: value for key, value in given.items() if value is not None}

    def inside(self, name: str, command: list, **changed) -> subprocess.CompletedProcess:
        """A command where a running service is, as `docker compose exec` runs it; `changed` of its environment."""
        outer = psutil.Process(self.started[name].pid)
        wait_for(outer.children, 10)
        enter = ["nsenter", f"--target={outer.children()[0].pid}", "--net", "--mount", "--pid", "--root", "--wdns=/study"]
        return subprocess.run([*enter, *command], env=self.environment(name) | changed, capture_output=True, text=True, timeout=60)

    def healthy(self, name: str) -> bool:
        assert self.started[name].poll() is None, (self.folder / f"{name}.txt").read_text()
        _, *command = self.services[name]["healthcheck"]["test"]
        return self.inside(name, command).returncode == 0


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """With variables in their places: ${NAME}, ${NAME:-default}, ${NAME:?what to do without}, and $$ for a dollar."""

    def value(match) -> str:
        name, how, other = match.groups()
        if name and how == "?" and not variables.get(name):
            raise KeyError(f"{name} {other}")
        return (variables.get(name) or other or "") if name else "$"

    return re.sub(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}", value, text)
