"""A terminal of some columns: a command runs in it, and what it shows can be read as a person would."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable

ROWS = 40
TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(.)", re.S)


class Screen:
    """What a terminal shows of the text that a command writes: lines that wrap, a cursor that moves up, lines that are cleared."""

    def __init__(self, columns: int):
        self.columns, self.lines, self.row, self.column = columns, [""], 0, 0

    def write(self, text: str) -> None:
        for number, command, letter in TOKEN.findall(text):
            if command == "A":
                self.row = max(0, self.row - int(number or 1))
            elif command == "K":
                self.lines[self.row] = "" if number == "2" else self.lines[self.row][: self.column]
            elif letter == "\r":
                self.column = 0
            elif letter == "\n":
                self._down()
            elif letter:
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        self.lines += [""] * (self.row + 1 - len(self.lines))

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


def shown(command: list, columns: int, seen: Callable[[str], object] = lambda text: None, **how) -> tuple[int, Screen]:
    """The exit code of a command in a terminal so wide, and its last screen; seen(text) is told of each change."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(list(map(str, command)), stdin=theirs, stdout=theirs, stderr=theirs, env=environment, **how)
    os.close(theirs)
    screen, rest = Screen(columns), b""
    try:
        while piece := read(ours):
            whole, rest = split(rest + piece)
            screen.write(whole)
            seen(screen.text)
        return process.wait(60), screen
    finally:
        process.kill()
        os.close(ours)


def read(ours: int) -> bytes:
    """What came; nothing once the command has ended, which Linux says with EIO."""
    try:
        return os.read(ours, 65536)
    except OSError:
        return b""


def split(content: bytes) -> tuple[str, bytes]:
    """Whole letters and whole commands, and the beginning of one that has not come yet."""
    end = content.rfind(b"\n") + 1
    return content[:end].decode(), content[end:]
