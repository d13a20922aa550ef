"""How long a sweep still takes, from what its packs have taken so far: their own time, without the start of a worker."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.sweep.estimate import Group, Rate, group, seconds_left
from study.sweep.plan import Plan, Trial

SURE_S = 2.0  # a guess is worth as much as having seen packs for so long
UNMEASURED = 1e-6  # epochs that a training lacks where its last is trained and the rest is to come


@dataclass
class Running:
    """A pack that is under way."""

    trial: Trial  # the first of it
    keys: tuple[str, ...]
    epoch: int  # where it is, as far as it was heard of
    until: int  # a rung, or the end
    heard: float | None = None  # when, on time.monotonic(); None until it trains


class Pace:
    """The packs that run, and what those of each group take. `rates`: what study/sweep/estimate.py expects."""

    def __init__(self, plan: Plan, slots: int, rates: Mapping[Group, Rate]):
        self.plan, self.slots, self.rates = plan, slots, rates
        self.trials: dict[str, Trial] = {}  # by key
        self.packs: dict[str, Running] = {}  # by first key
        self.reached: dict[str, float] = {}  # key -> the epoch where a training is
        self.trained, self.epochs, self.measured, self.ends = (defaultdict[Group, float](float) for _ in range(4))

    def began(self, keys: Sequence[str]) -> None:
        """A pack has been given to a worker, to begin or to go on from where it was."""
        if keys[0] not in self.trials:
            self.trials = {trial.key: trial for trial in self.plan.trials()}
        epoch = max((row.epoch for row in self.plan.ledger.rows(keys[0])), default=round(self.reached.get(keys[0], 0)))
        self.reached |= dict.fromkeys(keys, epoch)
        trial = self.trials[keys[0]]
        until = next((rung for rung in trial.rungs if rung > epoch), trial.budget.epochs)
        self.packs[keys[0]] = Running(trial, tuple(keys), epoch, until)

    def advanced(self, keys: Sequence[str], epoch: int, over: bool = False) -> None:
        """A pack trains, has come to an epoch, or is `over`: its trainings have ended or wait at a rung."""
        now, pack = time.monotonic(), self.packs[keys[0]]
        name, made = group(pack.trial.cell, pack.trial.stage), epoch - pack.epoch
        if pack.heard is not None and made > 0:
            self.trained[name] += now - pack.heard
            self.epochs[name] += made * len(keys)
        elif pack.heard is not None and over:
            self.measured[name] += now - pack.heard
            self.ends[name] += len(keys)
        pack.heard, pack.epoch = now, epoch
        self.reached |= dict.fromkeys(keys, epoch if over else min(epoch, pack.until - UNMEASURED))
        if over:
            del self.packs[keys[0]]

    def running(self) -> list[Running]:
        """The packs that are under way; one whose worker died too often never said that it is over."""
        return [pack for pack in list(self.packs.values()) if any(key not in self.plan.results for key in pack.keys)]

    def rate(self) -> dict[Group, Rate]:
        """As observed, the more so the more was seen of a group; what was not seen yet is expected to be off by the same factor as
        what was: steps by that of all steps, measuring by that of its stage, which looks at the other images."""
        steps = self._factor({name: rate.epoch + rate.looks for name, rate in self.rates.items()}, self.trained, self.epochs)
        found = {}
        for stage in {name[-1] for name in self.rates}:
            those = {name: rate for name, rate in self.rates.items() if name[-1] == stage}
            measure = self._factor({name: rate.measuring for name, rate in those.items()}, self.measured, self.ends)
            for name, rate in those.items():
                epoch, measuring = steps * rate.epoch + rate.looks, measure * rate.measuring
                epoch *= ratio(self.trained.get(name, 0.0), epoch * self.epochs.get(name, 0.0))
                measuring *= ratio(self.measured.get(name, 0.0), measuring * self.ends.get(name, 0.0))
                found[name] = Rate(epoch, measuring)
        for name, epochs in list(self.epochs.items()):  # the display reads while the sweep writes
            if name not in found:
                ends = self.ends.get(name)
                found[name] = Rate(self.trained[name] / epochs, self.measured[name] / ends if ends else 0.0)
        return found

    def _factor(self, expected: Mapping[Group, float], seconds: Mapping[Group, float], times: Mapping[Group, float]) -> float:
        """By how much what was seen of some groups took longer than expected."""
        seen = expected.keys() & times.keys()
        return ratio(sum(seconds[name] for name in seen), sum(expected[name] * times[name] for name in seen))

    def left(self) -> float | None:
        """Seconds; None where they can neither be seen nor guessed. Between two words of a pack, time passes as expected."""
        rate = self.rate()
        if (found := seconds_left(self.plan, rate, self.slots, self.reached)) is None:
            return None
        seconds, busy = found
        return max(0.0, seconds - sum(self._since(pack, rate) for pack in self.running()) / busy)

    def _since(self, pack: Running, rate: Mapping[Group, Rate]) -> float:
        """Seconds of a pack's work since it was heard of, at most what it still had."""
        if pack.heard is None or (each := rate.get(group(pack.trial.cell, pack.trial.stage))) is None:
            return 0.0
        had = len(pack.keys) * ((pack.until - pack.epoch) * each.epoch + each.measuring)
        return min(time.monotonic() - pack.heard, had)


def ratio(seconds: float, expected: float) -> float:
    """Of what was seen to what was expected; near 1 where it is of little."""
    return (seconds + SURE_S) / (expected + SURE_S)
