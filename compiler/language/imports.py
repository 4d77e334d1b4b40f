"""`imports`: names of other specs, brought in with everything that they read, under the names that the spec gives them.

An import is resolved on the document: the entries of the other file join those of the spec, their text unchanged and
read under other names, so that every mistake in them is shown where it stands. What an imported name reads comes along
under a name of its own, `FILE_name`. Indices of definitions are matched by letter; those of functions stay their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vspec.compiler.diagnostics.diagnostic import Sink, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.entities import Entity, declared_names, entities_of, letters_of_dims
from vspec.compiler.language.letters import Letters, closure
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.rename import composed, read_as
from vspec.compiler.source.document import Document, Mapping, Scalar, Sequence, Value

Load = Callable[[str], Document]
"""A path to the document of a file whose structure is right; raises SpecError."""

LIBRARY = "std"
SUFFIX = ".yaml"
MERGED = ("constants", "data", "params", "functions", "define", "objectives")


@dataclass(slots=True)
class Importer:
    """Resolves the imports of one spec and of what it imports; every file is loaded once.

    Attributes:
        sink: where mistakes are recorded.
        load: how a file becomes a document.
        library: the folder that `std/...` stands for.
        root: the folder that imports may not leave, unless it is None.
    """

    sink: Sink
    load: Load
    library: str
    root: str | None
    done: dict[str, Document | None] = field(default_factory=dict)

    def resolve(self, document: Document, chain: tuple[str, ...] = ()) -> Document:
        """The document with what it imports in its sections."""
        node = document.root.get("imports")
        if not isinstance(node, Mapping):
            return document
        chain = (*chain, os.path.realpath(document.path))
        merge = _Merge(self.sink, document)
        for key, value in node.entries:
            other = self.open(document, key, chain)
            if other is not None:
                merge.take(key, other, _requests(value))
        return merge.result()

    def open(self, document: Document, key: Scalar, chain: tuple[str, ...]) -> Document | None:
        """The resolved document of a path, or None after a mistake."""
        path = self.path_of(document, key)
        if path is None:
            return None
        real = os.path.realpath(path)
        if real in chain:
            files = " → ".join(Path(p).name for p in (*chain[chain.index(real) :], real))
            self.sink.error("VS0361", f"'{key.text}' imports itself", key.span, label=files)
            return None
        if real not in self.done:
            try:
                self.done[real] = self.resolve(self.load(path), chain)
            except SpecError as error:
                self.sink.diagnostics.extend(error.diagnostics)
                self.done[real] = None
        return self.done[real]

    def path_of(self, document: Document, key: Scalar) -> str | None:
        """The file that an import names, or None after a mistake."""
        text = key.text.strip()
        name = text if text.endswith((SUFFIX, ".yml")) else text + SUFFIX
        standard = text.split("/")[0] == LIBRARY
        folder = self.library if standard else os.path.dirname(document.path)
        path = os.path.join(folder, *(name.split("/")[1:] if standard else [name]))
        allowed = [self.library] if self.root is None or standard else [self.root, self.library]
        real = os.path.realpath(path)
        inside = any(real.startswith(os.path.realpath(f) + os.sep) for f in allowed)
        if not inside and (self.root is not None or standard):
            self.sink.error(
                "VS0366",
                f"the import '{text}' leaves the folder of the spec",
                key.span,
                help="copy the file beside the spec, or allow it with --allow-outside",
            )
            return None
        if not os.path.isfile(path):
            near = did_you_mean(text, self.siblings(folder, LIBRARY if standard else ""))
            self.sink.error(
                "VS0360",
                f"there is no spec '{text}' to import",
                key.span,
                label=f"looked for {name}",
                help=near or "paths are relative to the spec; the library is std/NAME: 'vspec list' names its files",
            )
            return None
        return path

    def siblings(self, folder: str, prefix: str) -> list[str]:
        """The specs of a folder as an import would name them."""
        try:
            names = sorted(n for n in os.listdir(folder or ".") if n.endswith((SUFFIX, ".yml")))
        except OSError:
            names = []
        own = [f"{prefix}/{n.rsplit('.', 1)[0]}" if prefix else n for n in names]
        return own if prefix else [*own, *self.siblings(self.library, LIBRARY)]


def _requests(value: Value) -> list[tuple[Scalar, Scalar]]:
    """The names wanted, each with the name it gets here."""
    if isinstance(value, Mapping):
        return [(there, here) for there, here in value.entries if isinstance(here, Scalar)]
    items = list(value.items) if isinstance(value, Sequence) else [value]
    return [(item, item) for item in items if isinstance(item, Scalar)]


class _Merge:
    """The sections of one document while imports join them."""

    def __init__(self, sink: Sink, document: Document) -> None:
        self.sink = sink
        self.document = document
        self.own = declared_names(document.root)
        self.letters = Letters(sink, document.root, set(self.own))
        self.taken: dict[str, Span] = dict(self.own)
        self.final: dict[Span, str] = {}
        self.added: dict[str, list[tuple[Scalar, Value]]] = {section: [] for section in MERGED}
        self.texts: dict[str, str] = dict(document.parts)

    def take(self, key: Scalar, other: Document, requests: list[tuple[Scalar, Scalar]]) -> None:
        """Bring in the wanted names of another document and what they read."""
        entities = entities_of(other.root)
        letters = letters_of_dims(other.root)
        self.texts[other.path] = other.text
        self.texts.update(other.parts)
        stem = _stem(key.text)
        queue: list[Entity] = []
        public: set[str] = set()
        chosen: dict[str, str] = {}
        for there, here in requests:
            if there.text in letters:
                chosen[there.text] = here.text
                continue
            entity = entities.get(there.text)
            if entity is None:
                listed = ", ".join(list(entities)[:12]) or "nothing that could be imported"
                self.sink.error(
                    "VS0362",
                    f"'{key.text}' has no '{there.text}' to import",
                    there.span,
                    label="not declared there",
                    help=did_you_mean(there.text, entities) or f"it declares {listed}",
                )
            elif self.name(entity, here):
                queue.append(entity)
                public.add(entity.name)
        wanted: dict[str, Entity] = {}
        while queue:
            entity = queue.pop(0)
            if entity.name in wanted:
                continue
            wanted[entity.name] = entity
            queue += [entities[n] for n in closure(entity.reads, letters) if n in entities]
        for entity in wanted.values():
            if entity.identity not in self.final:
                self.final[entity.identity] = self.unique(f"{stem}_{entity.name}", entity.identity)
        names = {name: self.final[e.identity] for name, e in entities.items() if e.identity in self.final}
        self.letters.know(other.same)
        shared, private = self.letters.take(key, letters, list(wanted.values()), chosen, stem, names, public)
        for entity in wanted.values():
            self.add(entity, {**names, **(private if entity.section == "functions" else shared)}, other)

    def name(self, entity: Entity, here: Scalar) -> bool:
        """Give an entity the name it is wanted under; False after a mistake."""
        name = here.text.strip()
        known = self.final.get(entity.identity)
        clash = self.taken.get(name)
        if known == name:
            return True
        if known is not None:
            message, help = f"'{entity.name}' is imported as '{known}' already", "import it once, under one name"
        elif not name.isidentifier() or name.startswith("_"):
            message, help = f"'{name}' cannot be a name", "names start with a letter"
        elif name in RESERVED:
            message, help = f"'{name}' is reserved: it is a built-in of the language", _as(entity.name)
        elif clash is not None:
            message, help = f"'{name}' is imported and declared on line {clash.line}, too", _as(entity.name)
        else:
            self.final[entity.identity] = name
            self.taken[name] = here.span
            return True
        self.sink.error("VS0363", message, here.span, label="imported here", help=help)
        return False

    def unique(self, name: str, identity: Span) -> str:
        """The name, or with a number at its end if it is taken."""
        found, k = name, 2
        while found in self.taken or found in RESERVED:
            found, k = f"{name}{k}", k + 1
        self.taken[found] = identity
        return found

    def add(self, entity: Entity, names: dict[str, str], other: Document) -> None:
        """The entries of an entity under their new names, once."""
        if any(key.span == entity.identity for key, _ in self.added[entity.section]):
            return
        for piece, value in entity.pieces:
            head = {n: v for n, v in names.items() if n not in entity.formals}
            key = replace(piece, names=composed(piece.names, {entity.name: names[entity.name], **head}))
            moved = read_as(value, head)
            if entity.section == "data" and isinstance(moved, Mapping):
                moved = _relocated(moved, other.path, self.document.path)
            self.added[entity.section].append((key, moved))

    def result(self) -> Document:
        """The document with everything that was imported in front of its own entries."""
        entries: list[tuple[Scalar, Value]] = []
        waiting = {section: pieces for section, pieces in self.added.items() if pieces}
        for key, value in self.document.root.entries:
            if key.text == "dims" and isinstance(value, Mapping):
                value = self.letters.section(value)
            pieces = waiting.pop(key.text, [])
            if pieces and isinstance(value, Mapping):
                value = replace(value, entries=(*pieces, *value.entries))
            entries.append((key, value))
        span = self.document.root.span
        if self.document.root.get("dims") is None and self.letters.new:
            entries.append((_section("dims", span), self.letters.section(Mapping((), span))))
        for section, pieces in waiting.items():
            entries.append((_section(section, span), Mapping(tuple(pieces), span)))
        root = replace(self.document.root, entries=tuple(entries))
        return replace(self.document, root=root, parts=tuple(sorted(self.texts.items())), same=tuple(self.letters.same))


def _as(name: str) -> str:
    return f"give it another name here: {{{name}: my_{name}}}"


def _section(name: str, span: Span) -> Scalar:
    return Scalar(name, name, span)


def _stem(path: str) -> str:
    stem = "".join(c if c.isalnum() else "_" for c in Path(path.strip()).stem)
    return stem if stem[:1].isalpha() else f"imported_{stem}"


def _relocated(value: Mapping, there: str, here: str) -> Mapping:
    """The options of a data entry with its source's path as seen from the importing file."""

    def moved(key: Scalar, part: Value) -> Value:
        if key.text != "source" or not isinstance(part, Scalar) or ":" in part.text or os.path.isabs(part.text):
            return part
        path = os.path.join(os.path.dirname(there), part.text)
        text = os.path.relpath(path, os.path.dirname(here) or ".")
        return replace(part, text=text, value=text)

    return replace(value, entries=tuple((k, moved(k, v)) for k, v in value.entries))
