"""What code of somebody's own raised, in one line that names the place."""

import os
import sysconfig
import traceback
from pathlib import Path

NOT_A_MODELS = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<")  # beginnings of the files of other code


def in_one_line(error: BaseException) -> str:
    """Its kind, what it says, and where it was raised."""
    place = own_place(error)
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500] + (f" ({place})" if place else "")
    return printable(reason)


def own_place(error: BaseException) -> str:
    """FILE:LINE of the last frame in a model's, a net's or a measure's code; empty where no such code is to blame."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(NOT_A_MODELS) and f"-packages{os.sep}" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return ""


def printable(text: str) -> str:
    """Text that UTF-8 can hold: of a file name that is not UTF-8 the odd bytes become escapes."""
    return text.encode(errors="backslashreplace").decode()
