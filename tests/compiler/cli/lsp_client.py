"""An editor for tests: speaks JSON-RPC with `netpolc lsp` over pipes, and knows nothing of the server's code."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = Any
ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "fixtures" / "examples" / "language"
#: Seconds for any answer, on a machine that has other things to do.
PATIENCE = 60


class Editor:
    """One session. Texts of buffers are kept as an editor does, and changes told as ranges in UTF-16."""

    def __init__(self, root: Path | None, *arguments: str, options: Json = None, capabilities: Json = None) -> None:
        self.root = root
        self.texts: dict[str, str] = {}
        self._version = 0
        self._number = 0
        self._answers: queue.Queue[Json] = queue.Queue()
        self.published: dict[str, list[Json]] = {}
        self.told: list[Json] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "compiler.cli.main", "lsp", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        uri = root.as_uri() if root is not None else None
        folders = [{"uri": uri, "name": "root"}] if uri else None
        self.server = self.ask(
            "initialize",
            processId=os.getpid(),
            rootUri=uri,
            workspaceFolders=folders,
            capabilities=capabilities or {},
            initializationOptions=options,
        )
        self.tell("initialized")

    # ---- Messages

    def ask(self, method: str, **params: Json) -> Json:
        """The result of a request. Refused raises, with the server's words."""
        self._number += 1
        self.send({"id": self._number, "method": method, "params": params or None})
        while (answer := self._answers.get(timeout=PATIENCE))["id"] != self._number:
            pass
        if "error" in answer:
            raise Refused(answer["error"]["message"])
        return answer["result"]

    def tell(self, method: str, **params: Json) -> None:
        self.send({"method": method, "params": params})

    def send(self, message: Json) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def raw(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        while header := self.process.stdout.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = self.process.stdout.readline()
            message = json.loads(self.process.stdout.read(length))
            with self._news:
                if message.get("method") == "textDocument/publishDiagnostics":
                    self.published[message["params"]["uri"]] = message["params"]["diagnostics"]
                elif "method" in message:
                    self.told.append(message)
                    if "id" in message:
                        self.send({"id": message["id"], "result": None})
                else:
                    self._answers.put(message)
                self._news.notify_all()

    # ---- Buffers

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri() if self.root is not None else name

    def open(self, name: str, text: str | None = None) -> None:
        """Opens a file, with what is on disk or with another text."""
        if text is None:
            assert self.root is not None
            text = (self.root / name).read_text(encoding="utf-8")
        self.texts[name] = text
        document = {"uri": self.uri(name), "languageId": "np", "version": 0, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)

    def close(self, name: str) -> None:
        del self.texts[name]
        self.tell("textDocument/didClose", textDocument={"uri": self.uri(name)})

    def type(self, name: str, begin: int, end: int, text: str) -> None:
        """Replaces the characters between two offsets."""
        span = {"start": self.position(name, begin), "end": self.position(name, end)}
        self.texts[name] = self.texts[name][:begin] + text + self.texts[name][end:]
        self._change(name, {"range": span, "text": text})

    def write(self, name: str, text: str) -> None:
        """Replaces the whole text."""
        self.texts[name] = text
        self._change(name, {"text": text})

    def _change(self, name: str, change: Json) -> None:
        self._version += 1
        document = {"uri": self.uri(name), "version": self._version}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=[change])

    def position(self, name: str, offset: int) -> Json:
        """Of an offset, with columns in UTF-16; the texts of tests have no carriage return alone."""
        line = self.texts[name].rfind("\n", 0, offset) + 1
        column = len(self.texts[name][line:offset].encode("utf-16-le", "surrogatepass")) // 2
        return {"line": self.texts[name].count("\n", 0, offset), "character": column}

    def offset(self, name: str, position: Json) -> int:
        """The offset of a position of the server's."""
        lines = self.texts[name].split("\n")
        line = lines[position["line"]].encode("utf-16-le", "surrogatepass")
        part = line[: 2 * position["character"]].decode("utf-16-le", "surrogatepass")
        return sum(len(one) + 1 for one in lines[: position["line"]]) + len(part)

    def shown(self, name: str, span: Json) -> str:
        """What stands in a range."""
        return self.texts[name][self.offset(name, span["start"]) : self.offset(name, span["end"])]

    # ---- Questions

    def about(self, method: str, name: str, offset: int, **more: Json) -> Json:
        """Asks about a place."""
        place = {"textDocument": {"uri": self.uri(name)}, "position": self.position(name, offset)}
        return self.ask(f"textDocument/{method}", **place, **more)

    def hover(self, name: str, offset: int) -> str:
        """What hovering shows, "" for nothing."""
        found = self.about("hover", name, offset)
        return str(found["contents"]["value"]) if found else ""

    def wrong(self, name: str) -> list[str]:
        """What is wrong with a file now: `LINE:COLUMN: MESSAGE [CODE]` with the compiler's lines and columns."""
        self.settled()
        return [
            f"{one['range']['start']['line'] + 1}:{self._column(name, one)}: {one['message']} [{one['code']}]"
            for one in self.published.get(self.uri(name), [])
        ]

    def _column(self, name: str, one: Json) -> int:
        if name not in self.texts:
            return int(one["range"]["start"]["character"]) + 1
        begin = self.offset(name, one["range"]["start"])
        return begin - self.texts[name].rfind("\n", 0, begin)

    def settled(self) -> None:
        """Waits until all texts are checked as they are: the server does that before it answers."""
        self.outline(next(iter(self.texts), "none.np"))

    def wait(self, done: Callable[[], bool]) -> None:
        """Waits for what the server tells by itself."""
        with self._news:
            assert self._news.wait_for(done, PATIENCE)

    def outline(self, name: str) -> Json:
        return self.ask("textDocument/documentSymbol", textDocument={"uri": self.uri(name)})

    def laid_out(self, name: str) -> str | None:
        """What formatting makes of a buffer; None when it does nothing."""
        options = {"tabSize": 2, "insertSpaces": True}
        edits = self.ask("textDocument/formatting", textDocument={"uri": self.uri(name)}, options=options)
        if edits is None:
            return None
        text = self.texts[name]
        for edit in edits:
            begin, end = (self.offset(name, edit["range"][at]) for at in ("start", "end"))
            text = text[:begin] + edit["newText"] + text[end:]
        return text

    # ---- Ends

    def quit(self) -> tuple[int, str]:
        """Ends the session in order. The exit status, and what the server wrote beside the protocol."""
        self.ask("shutdown")
        self.tell("exit")
        return self.gone()

    def gone(self) -> tuple[int, str]:
        """Waits for the server's end, once it has a reason."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        errors = self.process.stderr.read().decode()
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                stream.close()
        return status, errors


class Refused(Exception):
    """The server answered with an error."""
