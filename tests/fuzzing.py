"""Values of every kind, and what a command makes of them."""

import contextlib
import io

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from study.cli import run_command

QUIET = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def outcome(main, arguments) -> tuple[int, str]:
    """Exit code and everything printed by one command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = run_command(lambda: main([str(argument) for argument in arguments]))
        except SystemExit as error:  # argparse's own way out
            code = error.code
    return code, out.getvalue()


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
