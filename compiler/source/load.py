"""YAML text to a document tree with positions. Safe: it builds text, numbers, lists and mappings only."""

from __future__ import annotations

from os import PathLike, fspath

import yaml

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.compose import Composer
from vspec.compiler.source.document import Document, Mapping, Scalar
from vspec.compiler.source.read import clean_text, read_text, refuse
from vspec.compiler.source.slips import explain

START = "a spec starts with 'vspec: 1' and 'name: ...'; 'vspec new' writes one to start from"


def parse_document(text: str, path: str) -> Document:
    """The document tree of `text`; `path` is how diagnostics name the file.

    The document's own text has its line ends as single newlines.

    Raises:
        SpecError: the text is not honest text (VS0103), not YAML that a spec may use (VS0104 to VS0121), or beyond a
            limit (VS07xx). Several mistakes are reported at once where the text can still be read.
    """
    text = clean_text(text, path)
    sink = Sink()
    composer = Composer(text, path, sink)
    try:
        root = composer.compose()
    except yaml.YAMLError as error:
        failure = explain(error, composer.lines, path)
        # What was found above the place where reading stopped is still worth saying.
        sink.diagnostics.extend(failure.diagnostics)
        root = None
    sink.raise_if_errors()
    if root is None or (isinstance(root, Scalar) and root.value is None):
        raise refuse("VS0104", f"'{path}' is empty", Span(path, 1, 1, 1, 2), help=START)
    if not isinstance(root, Mapping):
        found = "a single value" if isinstance(root, Scalar) else "a list"
        raise refuse("VS0105", f"a spec is a mapping of sections, but this file holds {found}", root.span, help=START)
    return Document(path, text, root)


def load_document(path: str | PathLike[str]) -> Document:
    """The document tree of the file at `path`.

    Raises:
        SpecError: the file cannot be read (VS0101, VS0102, VS0701), or as in `parse_document`.
    """
    name = fspath(path)
    return parse_document(read_text(name), name)
