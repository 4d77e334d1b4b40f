"""Plots: which arrays each kind suits, what is drawn over coordinates, and that an SVG is deterministic and safe."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vspec.runtime.plots import Drawing, coordinates, drawings, plot, svg

GENERATOR = np.random.default_rng(3)


def drawing(how: Any, *shape: int, **more: Any) -> Drawing:
    axes = tuple("tmnk"[: len(shape)])
    return Drawing("a", GENERATOR.normal(size=shape), axes, how, **more)


SUITED = [
    ("line", (7,)),
    ("line", (7, 12)),
    ("bar", (5, 3)),
    ("bar", (30, 12)),
    ({"images": [2, 3]}, (4, 6)),
    ("path", (9, 2)),
    ("path", (9, 3)),
    ("path", (9, 4, 2)),
    ("path", (9, 20, 2)),
    ("path", (1, 2)),
    ("field", (5, 4)),
    ("field", (3, 5, 4)),
    ("field", (5, 4, 2)),
    ("field", (2, 5, 4, 2)),
    ("scatter", (20, 2)),
    ("scatter", (20, 3)),
    ("scatter", (3, 20, 2)),
    ("scatter", (12, 20, 2)),
]


@pytest.mark.parametrize(("how", "shape"), SUITED, ids=str)
def test_what_suits_is_drawn(how: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = drawing(how, *shape)
    assert plot(tmp_path / "a.png", found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("how", "shape"),
    [
        ("path", (9, 4)),
        ("path", (2,)),
        ("field", (5,)),
        ("scatter", (5, 7)),
        ({"images": [2, 2]}, (3, 5)),
        ("pie", (3,)),
    ],
    ids=str,
)
def test_what_does_not_suit_is_not(how: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    assert not plot(tmp_path / "a.png", drawing(how, *shape))
    assert svg(drawing(how, *shape), "p") is None
    assert not list(tmp_path.iterdir())


def test_histories_of_fields_and_points_are_drawn(tmp_path: Path) -> None:
    steps = (np.array([0.0, 10.0, 20.0]),)
    for how, shape in (
        ("field", (3, 4, 5)),
        ("field", (3, 4, 5, 2)),
        ("scatter", (3, 2)),
        ("scatter", (3, 6, 2)),
        ("path", (3, 2)),
    ):
        assert plot(tmp_path / "a.png", drawing(how, *shape, coordinates=steps, history=True)), how


def test_values_that_are_not_finite_leave_gaps(tmp_path: Path) -> None:
    for how, shape in (("line", (6,)), ("path", (6, 2)), ("field", (4, 4)), ("scatter", (6, 3))):
        found = drawing(how, *shape)
        found.values[0] = np.nan
        assert plot(tmp_path / "a.png", found), how


class Read(HTMLParser):
    """The texts, ids and links of an SVG."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.ids += [str(v) for k, v in attrs if k == "id"]
        self.links += [str(v) for k, v in attrs if k in ("href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.said.append(data.strip())


def test_an_svg_is_the_same_each_time_and_has_ids_of_its_own() -> None:
    found = drawing("path", 9, 4, 2, doc="A sentence with $two$ signs & <script>alert(1)</script>")
    text = svg(found, "p1-")
    assert text is not None
    assert text == svg(found, "p1-")
    assert text.startswith("<svg ")
    read = Read(text)
    assert all(i.startswith("p1-") for i in read.ids)
    assert len(set(read.ids)) == len(read.ids)
    assert {link.removeprefix("#") for link in read.links if not link.startswith("data:")} <= set(read.ids)
    assert any("$two$" in said for said in read.said)
    assert "<script" not in text
    assert "var(--ink)" in text


def test_a_picture_in_an_svg_is_part_of_it() -> None:
    text = svg(drawing("field", 5, 4), "p")
    assert text is not None
    assert "data:image/png;base64," in text


MANIFEST: dict[str, Any] = {
    "doc": "",
    "dims": {
        "x": {"size": 5, "coordinates": {"from": 0.0, "to": 2.0, "periodic": False, "constants": ["L"]}},
        "y": {"size": 4, "coordinates": {"from": 0.0, "to": 2.0, "periodic": True, "constants": []}},
        "k": {"size": 3},
    },
    "constants": {"L": {"value": 2.0}},
    "outputs": {
        "u": {"axes": ["x", "y"], "plot": "field"},
        "v": {"axes": ["k"], "plot": None},
        "w": {"axes": ["k"], "plot": "line", "every": 10},
        "z": {"axes": ["k"], "plot": "line"},
    },
}


def test_coordinates_are_those_of_the_dim() -> None:
    assert coordinates(MANIFEST, "x", 5).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert coordinates(MANIFEST, "y", 4).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert coordinates(MANIFEST, "k", 3) is None
    assert coordinates(MANIFEST, "x", 5, {"L": 2.0}) is not None
    assert coordinates(MANIFEST, "x", 5, {"L": 3.0}) is None


def test_the_drawings_of_a_run() -> None:
    outputs = {"u": np.ones((5, 4)), "v": np.ones(3), "w": np.ones((2, 3)), "z": np.ones(3) + 1j}
    found = {d.name: d for d in drawings(MANIFEST, outputs, {"w": [0, 10]}, {"L": 2.0})}
    assert set(found) == {"u", "w"}
    assert found["w"].axes == ("step", "k")
    assert found["w"].history
    assert found["w"].across(0).tolist() == [0.0, 10.0]
    assert found["u"].across(1).tolist() == [0.0, 0.5, 1.0, 1.5]
