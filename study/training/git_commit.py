"""Which commit of this project runs here, read from its .git without a process of git."""

import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def git_commit(root: Path = ROOT) -> str:
    """The commit that is checked out in `root`, 40 hexadecimal digits; empty where that is no clone."""
    try:
        folder = root / ".git"
        if folder.is_file():  # of a worktree: where its own HEAD is
            folder = root / folder.read_text().removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text().strip()
        return resolved(folder, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except (OSError, ValueError):
        return ""


def resolved(folder: Path, name: str) -> str:
    """The commit that a branch is at: in a file of its own, or a line of the packed ones."""
    if (shared := folder / "commondir").exists():  # branches are shared by all worktrees
        folder = folder / shared.read_text().strip()
    if (folder / name).exists():
        return (folder / name).read_text().strip()
    lines = (folder / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
