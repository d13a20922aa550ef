"""A launch outlives the terminal that it was started from: a window that closes, a connection that breaks, a reader that ends.

The hang-up (SIGHUP) is ignored, by Ray's processes as well, which inherit that; what can no longer be shown is dropped.
To end a launch there are Ctrl-C and `kill`.
"""
import io
import signal
import sys


class Screen(io.FileIO):
    """A standard stream of this process. Writing to it never fails: EIO of a closed terminal, EPIPE, a full disk."""

    def write(self, data):
        try:
            return super().write(data)
        except OSError:
            return len(data)


def outlive_the_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = (stream and unfailing(stream) for stream in (sys.stdout, sys.stderr))  # None where it was closed


def unfailing(stream) -> io.TextIOWrapper:
    """The same stream, whose terminal may go; lines appear as they are written."""
    raw = Screen(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)
