"""The codes of the source stage: VS01xx. Reading the file, YAML, and the structure of the sections."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

SOURCE: tuple[Code, ...] = (
    Code(
        "VS0101",
        "the file cannot be read",
        "The path does not exist, is a directory, or may not be read by this user. Check the spelling of the "
        "path; 'vspec list' names the specs that come with the package.",
        "vspec check no-such-file.yaml",
    ),
    Code(
        "VS0102",
        "the file is not UTF-8 text",
        "Specs are UTF-8. The file is in another encoding, or is not text at all (an archive, an array). Save it "
        "as UTF-8 in your editor.",
        "vspec check archive.zip",
    ),
    Code(
        "VS0103",
        "a character that cannot be seen",
        "Control characters, byte-order marks inside the text, Unicode line separators and marks that reverse the"
        " direction of text are refused, since a file that holds them is not what it looks like. Delete the "
        'character; inside double quotes it may be written as an escape such as "\\u2028".',
        "vspec check pasted.yaml    # copied from a page, with U+202E in it",
    ),
    Code(
        "VS0104",
        "the file is empty",
        "There is nothing in the file but blanks and comments. A spec starts with 'vspec: 1' and a 'name:'; "
        "'vspec new' writes one to start from.",
        "# nothing here yet\n",
    ),
    Code(
        "VS0105",
        "the file is not a mapping",
        "A spec is a mapping from sections (vspec, name, dims, params, ...) to their contents. This file holds a "
        "list or a single value.",
        "- vspec: 1\n",
    ),
    Code(
        "VS0106",
        "more than one document in the file",
        "A spec is one YAML document; '---' in the middle of a file starts another one. Keep one spec per file, "
        "or write what differs under 'runs:'.",
        "vspec: 1\n---\nvspec: 1\n",
    ),
    Code(
        "VS0107",
        "a tab where spaces are needed",
        "YAML forbids tabs in indentation. Set your editor to insert spaces, two per level.",
        "dims:\n	n: 3\n",
    ),
    Code(
        "VS0108",
        "the indentation does not fit",
        "Keys of one mapping stand in one column, and what belongs to a key stands further right on the lines "
        "below it. This line starts in a column that belongs to no open mapping or list.",
        "dims:\n    n: 3\n  m: 4\n",
    ),
    Code(
        "VS0109",
        "not YAML",
        "YAML cannot read the text at this place. The usual cure is to put the value between double quotes, or to"
        " write 'key: value' with a blank after the colon.",
        "dims:\n  n: ? 3\n",
    ),
    Code(
        "VS0110",
        "a tag",
        "YAML tags (!name, !!python/object) ask the reader to build something other than text, numbers, lists and"
        " mappings. A spec never needs that, and it could run code, so every tag is refused. An expression that "
        "starts with '!' is 'not ...'.",
        "constants:\n  a: !!python/name:os.system x\n",
    ),
    Code(
        "VS0111",
        "a key is written twice",
        "The second value would silently replace the first. Rename or remove one of them.",
        "dims:\n  n: 3\n  n: 4\n",
    ),
    Code(
        "VS0112",
        "a key is not a name",
        "Keys are names of sections, options or quantities. Numbers, true, false, null, lists and mappings cannot"
        " be keys. Put the key between quotes if it is really meant as text.",
        "dims:\n  3: n\n",
    ),
    Code(
        "VS0113",
        "square brackets inside {...} or [...] need quotes",
        "In block style an indexed name such as P[i, j] is plain YAML, but inside {...} and [...] YAML takes '[' "
        "as the start of a list. Put the whole name or expression between double quotes, or write the entry in "
        "block style, on a line of its own.",
        "outputs:\n  level: {is: s[-1, p], plot: line}\n",
    ),
    Code(
        "VS0114",
        "a call inside {...} or [...] does not close",
        "Inside {...} and [...] a comma ends a value. The commas of a call such as sgd(0.1, momentum=0.9) are "
        "recognised, but here its closing parenthesis is missing, or something stands between that a call cannot "
        "hold, such as a colon. Close the parenthesis, or put the whole value between double quotes.",
        "solve: {minimize: loss, method: sgd(0.1, momentum=0.9}\n",
    ),
    Code(
        "VS0115",
        "a second colon in a value",
        "A colon followed by a blank separates a key from its value, so a value that contains one needs quotes. "
        "If two entries were meant, put them on two lines.",
        "doc: Two parts: the first and the second\n",
    ),
    Code(
        "VS0116",
        "a comment cuts an expression short",
        "A blank followed by '#' starts a comment, here in the middle of an open bracket. Put the value between "
        "quotes, or close the bracket before the comment.",
        "doc: the problem of the paper (see #5)\n",
    ),
    Code(
        "VS0117",
        "a value starts with a character that YAML reserves",
        "At the start of a value, YAML gives a meaning of its own to [ { \" ' * & ! | > @ ` % and some more. An "
        "expression that starts with one of them needs quotes around the whole of it.",
        "define:\n  a: [1, 2] + b\n",
    ),
    Code(
        "VS0118",
        "quotes are not closed",
        "A value that starts with a quote ends at the next quote of the same kind, and there is none. Inside "
        'single quotes a quote is written twice; inside double quotes it is written \\".',
        'doc: "an open end\n',
    ),
    Code(
        "VS0119",
        "an unknown escape",
        "Inside double quotes a backslash starts an escape such as \\n or \\u03b1. Write \\\\ for the backslash "
        "itself, or use single quotes, which know no escapes.",
        'doc: "the \\sum of all"\n',
    ),
    Code(
        "VS0120",
        "an alias that leads nowhere",
        "'*name' at the start of a value is a YAML alias and repeats what '&name' marked earlier in the file. "
        "Nothing above has that mark, or the alias stands inside of what it repeats. An expression cannot start "
        "with '*'. Merge keys (<<) are not part of YAML 1.2 and are refused.",
        "define:\n  a: *b\n",
    ),
    Code(
        "VS0121",
        "brackets are not closed",
        "A {...} or [...] is still open where it cannot go on: a closing bracket is missing, or one of the wrong "
        "kind was written.",
        "dims: {n: 3, m: 4\n",
    ),
    Code(
        "VS0130",
        "an unknown key",
        "The key is not one that may stand here. The help line names the nearest known key, or lists what may "
        "stand here. 'vspec schema' prints the whole structure with a description of every key.",
        "vspec: 1\nname: x\nobjectivs:\n  loss: 1\n",
    ),
    Code(
        "VS0131",
        "a required key is missing",
        "An entry lacks a key without which it means nothing. Every spec needs 'vspec' and 'name'; every stage of"
        " 'solve' needs one key that says what to do.",
        "vspec: 1\n",
    ),
    Code(
        "VS0132",
        "the wrong kind of value",
        "A mapping was expected and a list was found, or a number and a text, and so on. A key with nothing after"
        " its colon has the value null, which is never what is meant.",
        "vspec: 1\nname: x\ndims: [n, m]\n",
    ),
    Code(
        "VS0133",
        "a value that is not among the choices",
        "Only a fixed set of words may stand here; the help line lists them.",
        "vspec: 1\nname: x\nprecision: double\n",
    ),
    Code(
        "VS0134",
        "a malformed name",
        "The name of a spec is made of letters, digits, dots, underscores and hyphens and starts with a letter or"
        " digit: it becomes the name of a folder.",
        "vspec: 1\nname: ../elsewhere\n",
    ),
    Code(
        "VS0135",
        "a number or a length out of bounds",
        "The number is smaller or larger than makes sense here, or a list has too few or too many items.",
        "vspec: 1\nname: x\ndims: {n: 0}\n",
    ),
    Code(
        "VS0136",
        "keys that exclude or need each other",
        "Two keys cannot stand side by side, or one key makes sense only beside another. The message names both.",
        "vspec: 1\nname: x\nsolve: {minimize: a, maximize: b}\n",
    ),
    Code(
        "VS0137",
        "an unknown version of the language",
        "The number after 'vspec:' is the version of the language the spec is written in. This compiler knows "
        "version 1.",
        "vspec: 2\nname: x\n",
    ),
)
