"""What a study is at, while a driver is at work on it."""

from collections.abc import Container
from dataclasses import dataclass

from study.ledger.folder import Ledger
from study.ledger.names import cell_of

MOST = 200  # trainings that are told of


@dataclass(frozen=True)
class UnderWay:
    """A training that has begun and not ended; it may wait for others at a rung."""

    cell: str
    stage: str
    replicate: int
    epoch: int  # that it has reached
    epochs: int


def under_way(ledger: Ledger, finished: Container[str]) -> list[UnderWay]:
    """The trainings that have a row and no result; none where nobody is at work."""
    found: list[UnderWay] = []
    for key in ledger.keys() if ledger.held() else ():
        if key in finished or len(found) == MOST:
            continue
        rows, spec = ledger.rows(key), ledger.spec(key)
        if rows and spec:
            found.append(UnderWay(cell_of(key), spec.stage, spec.seeds[0], rows[-1].epoch, spec.epochs))
    return found
