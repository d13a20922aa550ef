"""What every command shares: errors as one line, exit codes that scripts can rely on, and an end when it is asked to."""

import argparse
import io
import os
import re
import signal
import sys
import threading
from pathlib import Path

from study.errors import UserError
from study.ledger.opening import STORAGE

DONE, BROKEN, USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
GRACE_S = 8.0  # from the first signal until the process ends, whatever it is waiting for: the ledger needs no farewell


def storage(text: str) -> Path | str:
    """What --storage names: a folder, or the address of an object store."""
    if "://" not in text:
        return Path(text)
    if not re.fullmatch(r"[a-z0-9+.-]+://[^/].*", text):
        raise argparse.ArgumentTypeError(f"an object store is given as s3://BUCKET/PREFIX, not {text}")
    return text.rstrip("/")


def add_study(parser, several: bool = False, required: bool = True) -> None:
    """How every command is told which study is meant, or which `several`, so that what was typed for one can be typed for all."""
    group, many = parser.add_argument_group("the study"), {"nargs": "+"} if several else {}
    group.add_argument(
        "--space",
        required=required,
        **many,
        help="the study: the name of a file in search_spaces/, or the path of a space file of your own",
    )
    add_storage(group, several)
    group.add_argument(
        "--trust-study",
        action="store_true",
        help="run whatever code the study names, with your rights; without it only this project's and the space's is run",
    )


def add_storage(parser, several: bool = False) -> None:
    """Where studies and images are."""
    add, many = parser.add_argument, {"nargs": "+"} if several else {}
    add(
        "--storage",
        type=storage,
        default=[STORAGE] if several else STORAGE,
        **many,
        help=f"where studies are kept: a folder, or an object store like s3://BUCKET/PREFIX (default: {STORAGE})",
    )
    add("--data-dir", help="where datasets are, for the commands that read images (default: $STUDY_DATA, else data/)")


def add_features(parser, default: str) -> None:
    """Which features something is measured by."""
    add = parser.add_argument
    add("--features", choices=("classifier", "inception"), help=f"what images are measured by (default: {default})")
    add(
        "--features-seed",
        type=whole,
        default=0,
        metavar="N",
        help="of the classifier's training: another seed says how much a score owes to one (default: %(default)s)",
    )
    add(
        "--samples",
        type=whole,
        default=0,
        metavar="N",
        help="of each training, against at most as many real images, such as the 50,000 of others' FID (default: the study's)",
    )
    add("--against", choices=("test", "train"), default="test", help="which real images (default: %(default)s)")


def features_arguments(options) -> list[str]:
    """The same as they are typed."""
    kind = ["--features", options.features] if options.features else []
    seed = ["--features-seed", str(options.features_seed)] if options.features_seed else []
    samples = ["--samples", str(options.samples)] if options.samples else []
    return kind + seed + samples + (["--against", options.against] if options.against != "test" else [])


def whole(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"must not be below 0, not {text}")
    return value


whole.__name__ = "whole number"


def trust(options) -> tuple[str, bool]:
    """Settle what the study's records may import, as the command line says; what study/space/importing.py needs to know of it."""
    from study.space.importing import allow

    named = [options.space] if isinstance(options.space, str) else options.space or [""]
    space, *others = [str(Path(name).resolve()) if name.endswith(".py") else name for name in named]
    allow(space, options.trust_study, others)
    return space, options.trust_study


def run_command(main) -> int:
    """The exit code of main(); an error becomes one line on stderr, SIGTERM and Ctrl-C end it with code 130."""
    interruption = Interruption()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter gets its number
    try:
        with interruption:
            check_names()
            return main()
    except UserError as error:
        return fail(str(error), error.exit_code)
    except BrokenPipeError:
        return BROKEN
    except SystemExit as error:
        if error.code != signal.SIGTERM:  # what Ray's own handler makes of the signal while it is being started
            raise
        return interruption.end()
    except BaseException as error:
        if interruption.came or isinstance(error, KeyboardInterrupt):  # some libraries turn it into an error of their own
            return interruption.end()
        if os.environ.get("STUDY_TRACEBACK"):
            raise
        return fail(f"{type(error).__name__}: {error} (STUDY_TRACEBACK=1 shows where)", BROKEN)


def check_names() -> None:
    """UserError for a file or folder, named on the command line or in the environment, whose name is not UTF-8."""
    for name in (*sys.argv, *filter(None, map(os.environ.get, ("STUDY_DATA", "TMPDIR")))):
        path = os.path.realpath(name)
        try:
            path.encode()
        except UnicodeEncodeError:
            raise UserError(f"the name of {path} is not UTF-8, which Ray, MLflow and web pages need: rename it") from None


def fail(text: str, code: int) -> int:
    print(f"error: {' '.join(text.splitlines())}", file=sys.stderr)
    return code


def later(seconds: float, call) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer


def being_imported(name: str) -> bool:
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


class Interruption:
    """Makes the first SIGTERM or Ctrl-C a KeyboardInterrupt in the main thread. A second one, or GRACE_S, ends the
    process at once: it may be inside a library that waits for a lock."""

    def __init__(self):
        self.came, self.before, self.limit, self.hook = False, {}, None, sys.unraisablehook

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.before = {name: signal.signal(name, self) for name in (signal.SIGTERM, signal.SIGINT)}
            sys.unraisablehook = self.unraisable

    def __exit__(self, *_):
        for name, handler in self.before.items():
            if not self.came and signal.getsignal(name) is self:
                signal.signal(name, handler)
                sys.unraisablehook = self.hook

    def __call__(self, *_):
        if self.came:
            os._exit(INTERRUPTED)
        self.came = True
        if being_imported("torch"):  # its C++ would abort at an exception; nothing has begun that could be lost
            os._exit(self.fail())
        self.limit = self.limit or later(GRACE_S, lambda: os._exit(self.fail()))
        raise KeyboardInterrupt

    def unraisable(self, what):
        """An exception raised in a finaliser or a callback goes no further: if it was ours, raise it once more."""
        if not isinstance(what.exc_value, KeyboardInterrupt):
            return self.hook(what)
        self.came = False
        later(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))

    def end(self) -> int:
        """Say so, and leave at once where Ray has been loaded: stopped half way in its start, its threads abort what
        Python does at its own end."""
        self.fail()
        if "ray" in sys.modules:
            sys.stdout.flush()
            os._exit(INTERRUPTED)
        return INTERRUPTED

    def fail(self) -> int:
        print("interrupted; the same command goes on from here", file=sys.stderr, flush=True)
        return INTERRUPTED


class Screen(io.FileIO):
    """A standard stream of this process. Writing to it never fails: EIO of a closed terminal, EPIPE, a full disk."""

    def write(self, data):
        try:
            return super().write(data)
        except OSError:
            return len(data)


def outlive_the_terminal() -> None:
    """Let a launch go on without the terminal that it was started from: a window that closes, a connection that breaks, a reader
    that ends. The hang-up (SIGHUP) is ignored, by Ray's processes as well, which inherit that; what can no longer be shown is
    dropped. To end a launch there are Ctrl-C and `kill`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = (stream and unfailing(stream) for stream in (sys.stdout, sys.stderr))  # None where it was closed


def unfailing(stream) -> io.TextIOWrapper:
    """The same stream, whose terminal may go; lines appear as they are written."""
    raw = Screen(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)
