"""The index letters of imports: those of definitions meet the spec's own by name, those of functions get names of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.entities import Entity, letters_of_dims, names_in
from vspec.compiler.language.rename import read_as
from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Value

Entry = tuple[Scalar, Value]


class Letters:
    """The dims of the importing document while others join them.

    `rooms`: the letters of a dim of the result, by every place where a dim was declared that became part of it; `new`: the dims
    that imports bring, each as its letters and its entry; `same`: pairs of places whose dims are one.
    """

    def __init__(self, sink: Sink, root: Node, taken: set[str]) -> None:
        self.sink = sink
        self.own = letters_of_dims(root)
        self.taken = taken
        self.new: list[tuple[list[str], Entry]] = []
        self.same: list[tuple[Span, Span]] = []
        self.rooms: dict[Span, list[str]] = {}
        for letter, (key, _) in self.own.items():
            self.rooms.setdefault(key.span, []).append(letter)

    def know(self, same: Iterable[tuple[Span, Span]]) -> None:
        """Take note of dims that are one in an imported document."""
        self.same += same
        for a, b in [*self.same, *self.same]:
            for one, other in ((a, b), (b, a)):
                if one in self.rooms:
                    self.rooms.setdefault(other, self.rooms[one])

    def take(
        self,
        key: Scalar,
        theirs: Mapping[str, Entry],
        entities: Sequence[Entity],
        chosen: Mapping[str, str],
        stem: str,
        names: Mapping[str, str],
        public: Collection[str],
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The letters for definitions and those for functions, by the letters of the other document.

        Args:
            key: the path of the import.
            theirs: the letters of the other document with the entries of their dims.
            entities: what is imported.
            chosen: letters of ours that the import names for letters of theirs.
            stem: what new names are made of.
            names: the names that the entities get.
            public: the names that the import asks for; the indices on their left sides meet ours.
        """
        shared: dict[str, str] = {}
        private: dict[str, str] = {}
        plain = {n for e in entities if e.section != "functions" for n in closure(e.reads, theirs) if n in theirs}
        bound = {n for e in entities if e.section == "functions" for n in e.reads if n in theirs}
        plain |= {n for n in closure(tuple(bound), theirs) if n in theirs and n not in bound}
        shown = {n for e in entities if e.name in public for n in e.letters if n in theirs}
        made: list[tuple[list[str], Entry]] = []
        for dim_key, value in dict.fromkeys(theirs.values()):
            letters = [x for x, (k, _) in theirs.items() if k is dim_key]
            common = [x for x in letters if x in plain]
            inner = [x for x in letters if x in bound]
            if not common and not inner:
                continue
            wanted = {x: chosen.get(x, x) for x in common}
            met = {x: self.own[w] for x, w in wanted.items() if x in shown and w in self.own}
            if met:
                self.meet(key, dim_key, value, met)
            elif dim_key.span not in self.rooms:
                self.rooms[dim_key.span] = []
                made.append((self.rooms[dim_key.span], (dim_key, value)))
            room = self.rooms[dim_key.span]
            shared.update({x: w for x, w in wanted.items() if w in room})
            for x, w in wanted.items():
                if x not in shared:
                    shared[x] = self.unique(w, stem)
                    room.append(shared[x])
            for x in inner:
                private[x] = self.unique(x, stem)
                room.append(private[x])
        everything = {**names, **private, **shared}
        self.new += [(letters, (k, read_as(v, everything))) for letters, (k, v) in made]
        return shared, private

    def meet(self, key: Scalar, dim_key: Scalar, value: Value, met: Mapping[str, Entry]) -> None:
        """Make a dim of the other document one with the dim of ours that has a letter of it."""
        (own_key, own_value), *others = dict.fromkeys(met.values())
        sizes = [v.value for v in (own_value, value) if isinstance(v, Scalar) and isinstance(v.value, int)]
        name = next(iter(met))
        message = ""
        if others:
            message = f"'{', '.join(met)}' are one dim in '{key.text}' and two here"
        elif len(sizes) == 2 and sizes[0] != sizes[1]:
            message = f"the index '{name}' takes {sizes[1]} values in '{key.text}' and {sizes[0]} here"
        if message:
            self.sink.error(
                "VS0365",
                message,
                key.span,
                label=f"'{dim_key.text}' there, '{own_key.text}' here",
                help=f"say which index of this spec it is: {{{name}: another index}}",
            )
        self.know([(dim_key.span, own_key.span)])

    def unique(self, letter: str, stem: str) -> str:
        """A letter that nothing else is called."""
        found, k = (letter if letter not in self.taken else f"{letter}_{stem}"), 2
        while found in self.taken:
            found, k = f"{letter}_{stem}{k}", k + 1
        self.taken.add(found)
        return found

    def section(self, node: Node) -> Node:
        """The section `dims` with what imports added."""
        entries: list[Entry] = []
        for key, value in node.entries:
            room = self.rooms.get(key.span, [])
            more = [x for x in room if x not in self.own]
            entries.append((replace(key, text=", ".join((key.text, *more))), value) if more else (key, value))
        entries += [(replace(key, text=", ".join(letters)), value) for letters, (key, value) in self.new]
        return replace(node, entries=tuple(entries))


def closure(reads: Sequence[str], dims: Mapping[str, Entry]) -> tuple[str, ...]:
    """The names, and those that the sizes and coordinates of the dims among them read."""
    found = dict.fromkeys(reads)
    queue = list(found)
    while queue:
        name = queue.pop()
        if name in dims:
            new = [n for n in names_in(dims[name][1]) if n not in found]
            found.update(dict.fromkeys(new))
            queue += new
    return tuple(found)
