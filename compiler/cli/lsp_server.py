"""The Language Server Protocol around `compiler.editor`: pygls speaks it, nothing here knows the language."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from compiler.cli.lsp_files import path_of
from compiler.cli.lsp_session import Session
from compiler.editor import completion, names, symbols
from compiler.editor.hover import hover
from compiler.editor.names import NotRenamed, Place
from compiler.editor.positions import Lines, Units
from compiler.editor.project import Reading
from compiler.errors import Diagnostic, Severity
from grammar.format import format_file
from grammar.source import printable

#: Seconds without a change after which texts are checked, at least and at most; between, a share of the last check's.
SOONEST, LATEST = 0.02, 1.0
_SEVERITY = {Severity.ERROR: lsp.DiagnosticSeverity.Error, Severity.WARNING: lsp.DiagnosticSeverity.Warning}
_KINDS = {
    "set": lsp.SymbolKind.Array,
    "service": lsp.SymbolKind.Interface,
    "zone": lsp.SymbolKind.Class,
    "include": lsp.SymbolKind.File,
}
_CHOICES = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "set": lsp.CompletionItemKind.Variable,
    "zone": lsp.CompletionItemKind.Class,
    "service": lsp.CompletionItemKind.Interface,
}
_REQUEST_FAILED = -32803


class Refused(JsonRpcException):
    """What was asked for cannot be done: said to whoever asked, and no defect."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error), _REQUEST_FAILED)


class Server(LanguageServer):
    """One editor's server."""

    def __init__(self, session: Session) -> None:
        super().__init__("netpolc", "0.1.0")
        self.session = session
        self.in_order = False  # whether the editor asked to shut down
        self._published: dict[str, list[lsp.Diagnostic]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._took = 0.0
        self._told = ""

    # ---- Diagnostics

    def check_soon(self) -> None:
        """Checks all programs when the editor pauses: changes that come together cost one check."""
        if self._timer is not None:
            self._timer.cancel()
        delay = min(max(SOONEST, self._took / 4), LATEST)
        self._timer = asyncio.get_running_loop().call_later(delay, self.check)

    def check(self) -> None:
        """Tells of everything that is wrong, where that is something else than before."""
        begun = time.monotonic()
        self._timer = None
        found = {file: [self._diagnostic(file, one) for one in flaws] for file, flaws in self.session.flaws().items()}
        for file in sorted({*found, *self._published}):
            new = found.get(file, [])
            if new != self._published.get(file, []):
                uri = self.session.files.uri(file)
                self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, new))
        self._published = {file: one for file, one in found.items() if one}
        self._took = time.monotonic() - begun
        self.tell_of_cluster()

    def tell_of_cluster(self) -> None:
        """Tells once why the cluster's objects cannot be read."""
        wrong = self.session.cluster.wrong
        if wrong and wrong != self._told:
            self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, f"netpolc, cluster: {wrong}"))
        self._told = wrong

    def _diagnostic(self, file: str, one: Diagnostic) -> lsp.Diagnostic:
        lines, span = self.session.lines(file), one.span
        begin = lines.own(span.line, span.column)
        end = max(lines.own(span.end_line, span.end_column), begin)
        place = span_of(lines, begin, end)
        return lsp.Diagnostic(place, printable(one.message), _SEVERITY[one.severity], code=one.code, source="netpolc")

    # ---- Places

    def look(self, uri: str) -> tuple[str, Reading | None]:
        """The name of a file and what is read of it, once all texts are looked at as they are, and what is wrong with
        them told."""
        if self._timer is not None:
            self._timer.cancel()
            self.check()
        file = self.session.files.name(uri)
        return file, self.session.look().reading(file)

    def at(self, uri: str, position: lsp.Position) -> tuple[str, int]:
        """The file and offset of a place."""
        file, _ = self.look(uri)
        return file, self.session.lines(file).offset(position.line, position.character)

    def location(self, place: Place) -> lsp.Location:
        """A place as the editor takes it."""
        span = span_of(self.session.lines(place.file), place.begin, place.end)
        return lsp.Location(self.session.files.uri(place.file), span)


def span_of(lines: Lines, begin: int, end: int) -> lsp.Range:
    """The range between two offsets."""
    return lsp.Range(lsp.Position(*lines.place(begin)), lsp.Position(*lines.place(end)))


def serve(cluster: Sequence[str], node: str | None) -> int:
    """Serves the editor on standard input and output until it is gone. The exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # a thread waits for standard input: nothing else ends it
    logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_defect)
    server = made(Session(cluster, node))
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
        printed, sys.stdout = sys.stdout, sys.stderr  # whatever prints: not into the protocol
        try:
            server.start_io(sys.stdin.buffer, output)
        finally:
            sys.stdout = printed
    return 0 if server.in_order else 1


def _is_defect(record: logging.LogRecord) -> bool:
    """Whether a message of pygls is about more than a question that was refused."""
    return record.exc_info is None or not isinstance(record.exc_info[1], Refused)


def made(session: Session) -> Server:
    """A server with everything that it can do."""
    server = Server(session)
    _session(server)
    _texts(server)
    _answers(server)
    _changes(server)
    return server


def _session(server: Server) -> None:
    """How a session begins and ends."""
    session = server.session

    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        encoding = server.workspace.position_encoding
        session.units = Units(getattr(encoding, "value", encoding) or "utf-16")
        search()
        options: Any = params.initialization_options
        if isinstance(options, dict):
            wanted = options.get("cluster")
            session.node = options["node"] if isinstance(options.get("node"), str) else session.node
            if isinstance(wanted, str | list) and wanted:
                session.take_cluster([wanted] if isinstance(wanted, str) else list(map(str, wanted)))

    @server.feature(lsp.INITIALIZED)
    def initialized(params: lsp.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        watching = workspace.did_change_watched_files if workspace is not None else None
        if watching is not None and watching.dynamic_registration:
            watcher = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher("**/*.np")])
            one = lsp.Registration("np-files", lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, watcher)
            server.client_register_capability(lsp.RegistrationParams([one]))
        server.check_soon()

    @server.feature(lsp.SHUTDOWN)
    def shutdown(params: None) -> None:
        server.in_order = True

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(params: lsp.DidChangeWatchedFilesParams) -> None:
        search()
        server.check_soon()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        search()
        server.check_soon()

    def search() -> None:
        uris = [*server.workspace.folders] or [server.workspace.root_uri or ""]
        if not session.files.search([path for path in map(path_of, uris) if path]):
            text = "netpolc: a large workspace, not all of it was searched for .np files"
            server.window_log_message(lsp.LogMessageParams(lsp.MessageType.Warning, text))


def _texts(server: Server) -> None:
    """What the editor tells of its buffers."""
    files = server.session.files

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        files.put(params.text_document.uri, params.text_document.text)
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        text = files.buffer(uri) or ""
        for change in params.content_changes:
            if isinstance(change, lsp.TextDocumentContentChangePartial):
                first, last = change.range.start, change.range.end
                begin, end = (first.line, first.character), (last.line, last.character)
                text = Lines(text, server.session.units).changed(begin, end, change.text)
            else:
                text = change.text
        files.put(uri, text)
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        server.session.cluster_now()  # which may have been saved, too
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        files.drop(params.text_document.uri)
        server.check_soon()


def _answers(server: Server) -> None:
    """What the editor asks about places."""
    session = server.session

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        at = server.at(params.text_document.uri, params.position)
        found = hover(session.project, *at, session.cluster_now().holdings)
        if found is None:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, found.text)
        return lsp.Hover(content, server.location(found.place).range)

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(params: lsp.DefinitionParams) -> list[lsp.Location]:
        at = server.at(params.text_document.uri, params.position)
        return list(map(server.location, names.definitions(session.project, *at)))

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def references(params: lsp.ReferenceParams) -> list[lsp.Location]:
        at = server.at(params.text_document.uri, params.position)
        found = names.references(session.project, *at, params.context.include_declaration)
        return list(map(server.location, found))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def outline(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        file, reading = server.look(params.text_document.uri)
        lines = session.lines(file)
        return [_symbol(lines, one) for one in symbols.symbols(reading)] if reading is not None else []

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["/", ":", "("]))
    def complete(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        file, offset = server.at(params.text_document.uri, params.position)
        holdings = session.cluster_now().holdings
        found = completion.choices(session.project, file, offset, holdings.snapshot if holdings else None)
        return [_item(session.lines(file), one, offset) for one in found]


def _changes(server: Server) -> None:
    """What changes texts."""
    session = server.session

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        file, reading = server.look(params.text_document.uri)
        if reading is None or reading.text is None or reading.flaws:
            return None
        text = format_file(reading.text.source, reading.text.tree)
        lines = session.lines(file)
        return [lsp.TextEdit(span_of(lines, 0, len(lines.text)), text)] if text != lines.text else []

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepare(params: lsp.PrepareRenameParams) -> lsp.PrepareRenamePlaceholder:
        try:
            found = names.renamable(session.project, *server.at(params.text_document.uri, params.position))
        except NotRenamed as error:
            raise Refused(error) from None
        return lsp.PrepareRenamePlaceholder(server.location(found.place).range, found.key[0])

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def rename(params: lsp.RenameParams) -> lsp.WorkspaceEdit:
        at = server.at(params.text_document.uri, params.position)
        try:
            found = names.renamed(session.project, *at, params.new_name)
        except NotRenamed as error:
            raise Refused(error) from None
        edits: dict[str, list[lsp.TextEdit]] = {}
        for one in map(server.location, found):
            edits.setdefault(one.uri, []).append(lsp.TextEdit(one.range, params.new_name))
        return lsp.WorkspaceEdit(changes=dict(edits))


def _symbol(lines: Lines, one: symbols.Symbol) -> lsp.DocumentSymbol:
    kind = _KINDS.get(one.kind, lsp.SymbolKind.Namespace if one.inside else lsp.SymbolKind.Operator)
    inside = [_symbol(lines, inner) for inner in one.inside]
    whole, head = span_of(lines, one.begin, one.end), span_of(lines, *one.head)
    return lsp.DocumentSymbol(one.name, kind, whole, head, detail=one.kind, children=inside)


def _item(lines: Lines, one: completion.Choice, offset: int) -> lsp.CompletionItem:
    edit = lsp.TextEdit(span_of(lines, one.begin, offset), one.text)
    kind = _CHOICES.get(one.kind, lsp.CompletionItemKind.Value)
    return lsp.CompletionItem(one.text, kind=kind, detail=one.kind, text_edit=edit)
