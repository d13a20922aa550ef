"""Which names may become paths: keys of trials, and names of files below a study's folder.

Asked wherever a name comes in or goes out.
"""

import re
import stat
from pathlib import Path

LONGEST = 255  # bytes of a file's name


def is_key(text) -> bool:
    """Whether a trial can be called so: lower-case letters, digits, dots and dashes, as study/space/cells.py makes them."""
    return isinstance(text, str) and len(text) <= LONGEST and bool(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", text))


def is_name(text) -> bool:
    """Whether a file of a study can be called so: a path that stays below the study's folder, and below trials/ in that of
    a trial."""
    parts = text.split("/")
    return all(part not in ("", ".", "..") and part.isprintable() for part in parts) and (
        parts[0] != "trials" or len(parts) == 1 or is_key(parts[1])
    )


def cell_of(key: str) -> str:
    """The name of the cell that a trial is of, by its key, in whichever form a version has made them."""
    return re.sub(r"-(?:r\d+-search-\d+|r\d+-confirm|search-\d+|confirm-s\d+to\d+)-[0-9a-f]+$", "", key)


def is_own_file(path: Path) -> bool:
    """Whether a file lies there itself: no link to one elsewhere, and no pipe or device, which may never end."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
