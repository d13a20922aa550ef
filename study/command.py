"""What every command shares: errors as one line, and exit codes that scripts can rely on."""
import sys
from pathlib import Path

from study.errors import UserError

DONE, BROKEN, USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
STORAGE = Path("mlruns/studies")


def run_command(main) -> int:
    """The exit code of main(); an error becomes one line on stderr."""
    try:
        return main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN
    except Exception as error:
        import os
        if os.environ.get("STUDY_TRACEBACK"):
            raise
        print(f"error: {type(error).__name__}: {error} (STUDY_TRACEBACK=1 shows where)", file=sys.stderr)
        return BROKEN
