"""The commit that a result records is what git says, however the clone keeps it."""

import subprocess

import pytest

from study.training.git_commit import git_commit


def git(folder, *words) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("kept", ["loose", "packed", "detached", "in a worktree"])
def test_the_commit_is_the_one_that_git_names(tmp_path, kept):
    clone = tmp_path / "clone"
    git(tmp_path, "init", "-q", clone)
    git(clone, "commit", "-q", "--allow-empty", "-m", "first")
    if kept == "packed":
        git(clone, "pack-refs", "--all")
    if kept == "detached":
        git(clone, "checkout", "-q", "--detach")
    if kept == "in a worktree":
        git(clone, "worktree", "add", "-q", tmp_path / "tree", "-b", "other")
        clone = tmp_path / "tree"
    assert git_commit(clone) == git(clone, "rev-parse", "HEAD")


def test_where_there_is_no_clone_there_is_no_commit(tmp_path):
    assert git_commit(tmp_path) == ""
