"""The one exception that is the user's to mend: commands print it as a single line and exit with its code."""

import difflib


class UserError(Exception):
    """A mistake in what was typed or in the files it names (exit code 2): says what is wrong, where, and what to do."""

    exit_code = 2


class UnfitMachine(UserError):
    """This machine cannot give the result that was planned, but another one may: nothing that a trial did wrong."""


class BusyMachine(UserError):
    """What was asked for is right, and this machine has no time for it now."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error says, as far as one line of ours has room for it; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def nearest(name: str, known) -> str:
    """` (did you mean 'x'?)`, or nothing where no name is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
