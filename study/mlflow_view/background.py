"""The thread that keeps MLflow up to date during a sweep. It is told which trial has news and reads the rest from the
ledger, so that training never waits for it."""

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

from study.errors import first_line
from study.ledger.folder import Ledger

if TYPE_CHECKING:
    from study.mlflow_view.tracker import Tracker

SUMMARY = "summary"  # stands among the trial keys for the summary run
RETRY_S = (1, 2, 5, 15)  # between tries while the server is away
SETTLE_S = 0.1  # news waits so long: Tune's loop, which shares Python's lock, is just then starting the next trial
SWITCH_S = 0.0005  # so soon does that loop get the lock while this thread works; Python's own 5 ms add up over its calls
RETRIES_AT_CLOSE = 3  # tries that may fail once the study is at its end


class BackgroundTracker(threading.Thread):
    """Runs a Tracker in the background. `notify` costs microseconds; what fails is tried again until it works."""

    def __init__(self, uri: str, ledger: Ledger, space: str, question: str = "", log=print):
        super().__init__(daemon=True, name="mlflow")
        self.arguments, self.log = (uri, ledger, space, question), log
        self.tracker: Tracker | None = None
        self.failures, self.refused = 0, set[str]()
        self.news, self.pending = threading.Condition(), dict[str, float]()
        self.closing, self.hurry, self.retries_at_close = False, threading.Event(), RETRIES_AT_CLOSE

    def notify(self, key: str) -> None:
        """Something about this trial is new in the ledger."""
        with self.news:
            self.pending.setdefault(key, time.monotonic())
            self.news.notify()

    def summarise(self) -> None:
        """Bring the summary run up to date after everything else."""
        self.notify(SUMMARY)

    def close(self, wait_s: float) -> bool:
        """Project what is left for at most `wait_s` seconds; whether everything could be."""
        with self.news:
            self.closing = True
            self.news.notify()
        self.hurry.set()
        self.join(wait_s)
        return not self.is_alive() and not self.pending

    def run(self):
        sys.setswitchinterval(SWITCH_S)
        while True:
            with self.news:
                self.news.wait_for(lambda: self.pending or self.closing)
                if not self.pending:
                    return
                key = next(iter(self.pending))
            self.hurry.wait(max(0.0, self.pending[key] + SETTLE_S - time.monotonic()))
            with self.news:
                del self.pending[key]
            try:
                self._project(key)
                self._recovered(key)
            except Exception as error:  # whatever MLflow raises: the ledger keeps everything, so try again later
                self._failed(key, error)
                if not self.retries_at_close:
                    return  # the next launch, or `tracking.py sync`, does the rest

    def _project(self, key: str) -> None:
        if self.tracker is None:
            from study.mlflow_view.tracker import Tracker  # here: the thread waits for MLflow's import while Ray starts

            self.tracker = Tracker(*self.arguments, self._tell)
        store = self.tracker.store
        self.tracker.summarise() if key == SUMMARY else self.tracker.project(key)
        if self.tracker.store != store:  # MLflow lost the experiment with all its runs, and has a new one
            for each in self.arguments[1].keys():
                self.notify(each)

    def _recovered(self, key: str) -> None:
        if key in self.refused:
            self.refused.remove(key)
            if not self.refused:
                self._tell("MLflow answers again; catching up")
        self.failures, self.retries_at_close = 0, RETRIES_AT_CLOSE

    def _failed(self, key: str, error: Exception) -> None:
        if not self.refused:
            self._tell(
                f"MLflow at {self.arguments[0]} does not take {key} ({first_line(error)});"
                " training goes on, the ledger keeps everything, and this is tried again"
            )
        self.refused.add(key)
        self.notify(key)  # behind what others have sent
        if self.pending.keys() - self.refused and self.tracker and self.tracker.answers():
            return  # it is this trial's own trouble
        if self.closing:
            self.retries_at_close -= 1  # the server may have come back just now
            time.sleep(RETRY_S[0])
        else:
            self.hurry.wait(RETRY_S[min(self.failures, len(RETRY_S) - 1)])
        self.failures += 1

    def _tell(self, text: str) -> None:
        with contextlib.suppress(Exception):  # a terminal that is closed must not end this thread
            self.log(text)
