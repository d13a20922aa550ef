"""Who drives a study that several machines reach through an object store: one driver at a time."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time

from study.errors import UserError

LEASE = ".lease-"
BEAT_S, LEASE_S = 3.0, 15.0  # a driver says so often that it is alive; one that is silent for so long is taken for dead


class Lease:
    """Who drives a study that several machines reach. Needs put-once objects, no clocks and no deletion.

    The lease with the highest number counts. Its holder rewrites it every BEAT_S seconds; whoever sees it unchanged for
    LEASE_S puts the next number, which only one can.
    """

    def __init__(self, ledger, lock=None):
        self.ledger, self.lock, self.over, self.beats = ledger, lock, threading.Event(), 0
        self.here = f"{socket.gethostname()}:{ledger.root}"

    def taken(self):
        try:
            last = self.newest()
            if last:
                self.wait_for_silence(last)
            self.number = last + 1
            if not self.ledger.create(lease(self.number), self.content()):
                raise refused(self.ledger.address)
        except BaseException as error:
            self.lock.close()
            if isinstance(error, OSError):
                raise UserError(error.strerror) from None
            raise
        self.thread = threading.Thread(target=self.go_on, daemon=True)
        self.thread.start()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(BEAT_S)
        with contextlib.suppress(OSError):
            self.write(ended=True)
        self.lock.close()

    def newest(self) -> int:
        """The number of the lease that counts; 0 where there is none."""
        numbers = [name.removeprefix(LEASE) for name in self.ledger.names(LEASE)]
        return max((int(number) for number in numbers if re.fullmatch("[0-9]{1,9}", number)), default=0)

    def beating(self) -> bool:
        """Whether a driver seems to be at work, by the store's clock and ours."""
        last = self.newest()
        return bool(last) and not parsed(self.ledger.read(lease(last)))["ended"] and self.ledger.age_s(lease(last)) < LEASE_S

    def wait_for_silence(self, number: int) -> None:
        """Return once the lease is over: ended, left by a process of this machine, which is dead, or silent for long."""
        seen = self.ledger.read(lease(number))
        holder = parsed(seen)
        if holder["ended"] or holder["here"] == self.here:
            return
        print(
            f"a driver on {holder['here'].split(':')[0]} did not say that it ended; waiting {LEASE_S:.0f} s for a sign of it",
            file=sys.stderr,
            flush=True,
        )
        deadline = time.monotonic() + LEASE_S
        while time.monotonic() < deadline:
            time.sleep(1)
            if self.ledger.read(lease(number)) != seen:
                raise refused(self.ledger.address)

    def go_on(self) -> None:
        while not self.over.wait(BEAT_S):
            with contextlib.suppress(OSError):  # the store is away: what must be stored is tried again elsewhere
                if self.newest() > self.number:
                    print("another driver has taken this study over, as this one was silent for too long", file=sys.stderr)
                    return os.kill(os.getpid(), signal.SIGTERM)
                self.write()

    def write(self, ended: bool = False) -> None:
        self.beats += 1
        self.ledger.replace(lease(self.number), self.content(ended))

    def content(self, ended: bool = False) -> bytes:
        return json.dumps({"here": self.here, "beats": self.beats, "ended": ended}).encode()


def parsed(content: bytes) -> dict:
    """What a lease says; one that cannot be read may be held."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        said = json.loads(content)
        return {"here": str(said["here"]), "ended": said["ended"] is True}
    return {"here": "an unknown machine", "ended": False}


def lease(number: int) -> str:
    return f"{LEASE}{number:06d}"


def refused(address: str) -> UserError:
    return UserError(f"another driver is running this study at {address}; wait for it or stop it first")
