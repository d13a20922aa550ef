"""The page while a study runs: written now and then by a process of its own, and loaded again by itself."""

import os
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EVERY_S, SHARE = 20.0, 0.05  # a page at most so often, and taking at most so small a part of one processor
LOWEST = 19  # priority, below that of training


class LivePage:
    """Writes a study's report again and again, from the beginning on, and shows it in a browser as soon as there is one.

    arguments: what tells study/report.py which study is meant; address(): where its page is."""

    def __init__(self, arguments: Sequence[str], address: Callable[[], str]):
        self.command = [sys.executable, str(ROOT / "study" / "report.py"), *arguments]
        self.address, self.opened, self.over = address, False, threading.Event()
        self.thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> "LivePage":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()

    def _write(self) -> None:
        rest = 0.0
        while not self.over.wait(rest):
            began = time.monotonic()
            process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST)
            while process.poll() is None:
                if self.over.wait(0.2):  # the last page is the launch's own
                    process.kill()
                    process.wait()
                    return
            if not process.returncode and not self.opened:
                self.opened = webbrowser.open(self.address())
            rest = max(EVERY_S, (time.monotonic() - began) / SHARE)
