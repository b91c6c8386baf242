"""Texts for ipset: large ones by `ipset restore`, small ones through one `ipset -` that lives as long as we do.

A process for every change costs a millisecond, a line in the pipe 0.02. What ipset says comes on its standard error,
so the end of a text is marked by a command that it surely refuses, with a word that only we know.

Every line says what shall be, not what shall become (`-exist`), and to destroy what is not there is no error here: so a
text that was taken in part, because ipset died or a line was refused, is given again from its beginning.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

#: From so many lines on a process of its own is no loss, and takes 30 elements in one message to the kernel.
BULK = 2_000
#: Seconds until ipset must have taken a text.
_PATIENCE = 60.0
#: Seconds that a set may stay in use after the last rule that asked it is gone: the kernel frees rules of nftables when
#: no packet can be among them any more.
_RELEASE = 2.0
_PAUSE = 0.005
_SPOKEN = re.compile(r"^ipset v[\d.]+: ", re.MULTILINE)
_LINE = re.compile(r"Error in line (\d+): (.*)")
_ABSENT = "The set with the given name does not exist"
_IN_USE = "Set cannot be destroyed: it is in use by a kernel component"
#: Not for ever: another `ipset` holds the kernel's lock, or memory is short for a moment.
_PASSING = ("Kernel error received: Resource temporarily unavailable", "Kernel error received: Try again")


class Failed(Exception):
    """ipset did not take a line: `line` counts from 1, 0 when it is not known which; lines before it are in force, and
    some behind it may be. `passing`: the same may work in a moment."""

    def __init__(self, said: str, line: int = 0, passing: bool = False) -> None:
        self.said, self.line, self.passing = said, line, passing
        super().__init__(f"ipset, line {line}: {said}" if line else f"ipset: {said}")


class Ipset:
    """Runs texts in the network namespace of the thread that runs the first."""

    def __init__(self, command: Sequence[str] = ("ipset",)) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def run(self, text: str) -> None:
        """Returns when all of it is in force. Raises Failed."""
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        if len(lines) >= BULK:
            self._restore(text)
            return
        try:
            said = self._say(lines)
        except (BrokenPipeError, EOFError):  # somebody ended it: a new one is given all of it
            self.close()
            try:
                said = self._say(lines)
            except (BrokenPipeError, EOFError):
                self.close()
                raise Failed("it ends at once", passing=True) from None
        if said:
            self._one_by_one(text)

    def close(self) -> None:
        """Ends the process."""
        process, self._process, self._heard = self._process, None, b""
        if process is None:
            return
        assert process.stdin is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()

    def _one_by_one(self, text: str) -> None:
        """Something of the text was refused: which line it is, is known when each is asked for. What is refused only
        for a moment is given again."""
        until = time.monotonic() + _RELEASE
        for number, line in enumerate(text.splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            while said := self._answer(line):
                if said == _ABSENT and line.startswith("destroy "):
                    break
                if said != _IN_USE or time.monotonic() > until:
                    raise Failed(said, number, said in (_IN_USE, *_PASSING))
                time.sleep(_PAUSE)

    def _answer(self, line: str) -> str:
        try:
            return self._say([line])
        except (BrokenPipeError, EOFError):
            self.close()
            raise Failed("it ended", passing=True) from None

    def _say(self, lines: Sequence[str]) -> str:
        """What ipset has to say to these lines; nothing when it took them. BrokenPipeError or EOFError when it is
        dead."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stderr is not None
        mark = f"end-{secrets.token_hex(8)}"
        told = memoryview("".join(f"{line}\n" for line in (*lines, f"list -output {mark}")).encode())
        given, taken = process.stdin.fileno(), process.stderr.fileno()
        until = time.monotonic() + _PATIENCE
        while (end := self._heard.find(f"'{mark}'\n".encode())) < 0:
            readable, writable, _ = select.select([taken], [given] if told else [], [], until - time.monotonic())
            if not (readable or writable):
                self.close()
                raise Failed(f"no answer in {_PATIENCE:.0f} s", passing=True)
            if readable:
                more = os.read(taken, 1 << 16)
                if not more:
                    raise EOFError
                self._heard += more
            elif writable:
                told = told[os.write(given, told[: select.PIPE_BUF]) :]
        said = self._heard[:end].decode(errors="replace")
        self._heard = self._heard[end + len(mark) + 3 :]
        return _SPOKEN.sub("", said).removesuffix("Syntax error: unknown output mode ").strip()

    def _start(self) -> subprocess.Popen[bytes]:
        self._heard = b""
        try:
            self._process = subprocess.Popen(
                (*self._command, "-"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            raise Failed(f"cannot be started: {error.strerror}") from None
        return self._process

    def _restore(self, text: str) -> None:
        try:
            done = subprocess.run(
                (*self._command, "restore"),
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE * 5,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            raise Failed(f"cannot be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise Failed(f"no answer in {_PATIENCE * 5:.0f} s", passing=True) from None
        if done.returncode == 0:
            return
        said = _SPOKEN.sub("", done.stderr).strip()
        found = _LINE.search(said)
        line, said = (int(found[1]), found[2]) if found else (0, said or f"it ends with {done.returncode}")
        raise Failed(said, line, said in _PASSING or done.returncode < 0)
