"""Is the storage folder one and the same for all machines, and can it be written? Where not, the sweep ends with one line.

The driver leaves a random word there, and every worker compares it before it does anything.
"""
import errno
import socket
import uuid
from pathlib import Path

from study.errors import UserError
from study.ledger import write_atomic

MARKER = ".marker"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE)  # nothing that another try of the same trial could mend


class Stopped(UserError):
    """The sweep cannot go on before something outside of it is seen to; nothing that was finished is lost."""

    exit_code = 1


def mark(root) -> str:
    """Leave a new word in the study's folder; the word, which goes to the workers with their trials."""
    word = uuid.uuid4().hex
    write_atomic(Path(root) / MARKER, word.encode())
    return word


def complaint(root, word: str) -> str:
    """What is wrong with the storage folder as this machine sees it; empty where nothing is."""
    try:
        seen = (Path(root) / MARKER).read_text()
    except (OSError, ValueError):
        seen = None
    return "" if seen == word else (f"this worker on {socket.gethostname()} does not see the storage folder {root}"
                                    " that the driver wrote; it must be shared")


def unwritable(root, error: OSError) -> str:
    """The line about a storage folder that takes nothing more; empty for an error that may pass."""
    return "" if error.errno not in FULL else (f"the storage folder {root} cannot be written on {socket.gethostname()}"
                                               f" ({error.strerror}); make room, then the same command goes on from here")


def check_nodes(root, word: str) -> None:
    """Ask every node of the connected cluster before anything is trained; Stopped names the first that complains."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    look = ray.remote(num_cpus=0)(complaint)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    answers = [look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(str(root), word)
               for node in nodes]
    for answer in ray.get(answers):
        if answer:
            raise Stopped(answer)
