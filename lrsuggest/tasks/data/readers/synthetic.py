"""Draws street scenes and writes them in CamVid's layout, for machines without any data.

They exercise every part of the benchmark on real files, but they are no evidence: whatever is
measured on them is marked and stays out of rankings, regret and verdict.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CODES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
    "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist", "Void",
)  # fmt: skip
_COLOURS = {
    "Sky": (168, 196, 228), "Building": (134, 112, 98), "Pole": (120, 120, 116),
    "Road": (92, 90, 94), "Pavement": (150, 142, 138), "Tree": (66, 92, 52),
    "SignSymbol": (192, 60, 48), "Fence": (156, 132, 100), "Car": (44, 60, 110),
    "Pedestrian": (170, 96, 84), "Bicyclist": (60, 120, 120), "Void": (20, 20, 20),
}  # fmt: skip
HEIGHT, WIDTH = 120, 160


class _Scene:
    """A picture and its mask, drawn together."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.light = rng.uniform(0.65, 1.15)
        self.picture = Image.new("RGB", (WIDTH, HEIGHT))
        self.mask = Image.new("L", (WIDTH, HEIGHT), CODES.index("Void"))
        self._draws = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.mask)

    def shade(self, name: str) -> tuple[int, int, int]:
        """The class's colour in this scene's light, a little different each time."""
        tint = np.array(_COLOURS[name]) * self.light + self.rng.normal(0, 16, 3)
        red, green, blue = np.clip(tint, 0, 255).astype(int).tolist()
        return red, green, blue

    def polygon(self, name: str, points: list[tuple[float, float]]) -> None:
        """Fill a polygon in both."""
        self._draws[0].polygon(points, fill=self.shade(name))
        self._draws[1].polygon(points, fill=CODES.index(name))

    def box(self, name: str, x: float, y: float, width: float, height: float) -> None:
        """Fill a rectangle in both, (x, y) its upper left corner."""
        self.polygon(name, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)])

    def disc(self, name: str, x: float, y: float, radius: float) -> None:
        """Fill a disc in both."""
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draws[0].ellipse(box, fill=self.shade(name))
        self._draws[1].ellipse(box, fill=CODES.index(name))

    def paint(self, colour: tuple[int, int, int], box: tuple[float, float, float, float]) -> None:
        """Fill a rectangle in the picture alone: detail within a class."""
        self._draws[0].rectangle(box, fill=colour)


def draw_scene(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Draw a street seen from a car: returns the picture and its mask of class numbers."""
    scene = _Scene(rng)
    horizon = rng.uniform(0.38, 0.5) * HEIGHT
    vanish = rng.uniform(0.4, 0.6) * WIDTH
    scene.box("Sky", 0, 0, WIDTH, horizon + 4)
    scene.box("Pavement", 0, horizon, WIDTH, HEIGHT - horizon)
    _road(scene, horizon, vanish)
    for side in (-1, 1):
        _row_of_houses(scene, horizon, vanish, side)
    for _ in range(rng.integers(1, 4)):
        _tree(scene, horizon)
    for _ in range(rng.integers(1, 4)):
        _car(scene, horizon, vanish)
    for _ in range(rng.integers(0, 4)):
        _person(scene, horizon)
    for _ in range(rng.integers(1, 3)):
        _pole(scene, horizon)
    scene.disc("Void", WIDTH / 2, HEIGHT * 1.5, HEIGHT * rng.uniform(0.52, 0.58))  # the bonnet
    noisy = np.asarray(scene.picture, np.float64) + rng.normal(0, 7, (HEIGHT, WIDTH, 1))
    picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    return picture, scene.mask


def _road(scene: _Scene, horizon: float, vanish: float) -> None:
    left, right = scene.rng.uniform(-0.1, 0.1), scene.rng.uniform(0.9, 1.1)
    scene.polygon(
        "Road",
        [(vanish - 4, horizon), (vanish + 4, horizon), (right * WIDTH, HEIGHT),
         (left * WIDTH, HEIGHT)],
    )  # fmt: skip
    for t in np.arange(0.2, 1, 0.25):
        y = horizon + t * (HEIGHT - horizon)
        scene.paint((205, 205, 198), (vanish - t, y, vanish + t, y + 6 * t))


def _row_of_houses(scene: _Scene, horizon: float, vanish: float, side: int) -> None:
    edge, reach = (0.0, vanish - 8) if side < 0 else (float(WIDTH), WIDTH - vanish - 8)
    at = 0.0
    while at < reach:
        width = scene.rng.uniform(14, 30)
        near = 1 - at / (reach + 1)
        top = horizon * (1 - scene.rng.uniform(0.5, 0.95) * (0.3 + 0.7 * near))
        x = edge + at if side < 0 else edge - at - width
        width = min(width, reach - at + 4)
        scene.box("Building", x, top, width, horizon + 6 * near - top)
        dark = tuple(c // 2 for c in scene.shade("Building"))
        for row in np.arange(top + 4, horizon - 5, 9):
            for column in np.arange(x + 3, x + width - 5, 7):
                scene.paint((dark[0], dark[1], dark[2]), (column, row, column + 3, row + 4))
        if scene.rng.random() < 0.25:
            scene.box("Fence", x, horizon + 1, width, 4 + 4 * near)
        at += width


def _tree(scene: _Scene, horizon: float) -> None:
    x, size = scene.rng.choice([-1, 1]) * scene.rng.uniform(0.25, 0.5), scene.rng.uniform(7, 15)
    x = (0.5 + x) * WIDTH
    scene.box("Tree", x - 1.5, horizon - 4, 3, 10)
    for _ in range(6):
        dx, dy = scene.rng.normal(0, size / 2.5, 2)
        scene.disc("Tree", x + dx, horizon - size + dy, size * scene.rng.uniform(0.4, 0.7))


def _car(scene: _Scene, horizon: float, vanish: float) -> None:
    depth = scene.rng.uniform(0.1, 0.75)
    y, width = horizon + depth * (HEIGHT - horizon), 10 + 38 * depth
    x = vanish + scene.rng.uniform(-0.55, 0.55) * WIDTH * depth - width / 2
    scene.box("Car", x, y - width * 0.35, width, width * 0.35)
    scene.box("Car", x + width * 0.18, y - width * 0.6, width * 0.64, width * 0.28)
    for wheel in (0.2, 0.8):
        scene.disc("Car", x + wheel * width, y, width * 0.1)
    glass = (x + width * 0.25, y - width * 0.55, x + width * 0.75, y - width * 0.38)
    scene.paint((176, 200, 210), glass)


def _person(scene: _Scene, horizon: float) -> None:
    side = scene.rng.choice([-1, 1])
    x, tall = (0.5 + side * scene.rng.uniform(0.2, 0.48)) * WIDTH, scene.rng.uniform(12, 26)
    foot = horizon + tall * 0.55
    name = "Pedestrian" if scene.rng.random() < 0.7 else "Bicyclist"
    scene.box(name, x - tall * 0.12, foot - tall * 0.8, tall * 0.24, tall * 0.8)
    scene.disc(name, x, foot - tall * 0.88, tall * 0.11)
    if name == "Bicyclist":
        for dx in (-0.3, 0.3):
            scene.disc(name, x + dx * tall, foot, tall * 0.2)


def _pole(scene: _Scene, horizon: float) -> None:
    side = scene.rng.choice([-1, 1])
    x, tall = (0.5 + side * scene.rng.uniform(0.15, 0.45)) * WIDTH, scene.rng.uniform(30, 52)
    scene.box("Pole", x, horizon + 8 - tall, 2, tall)
    if scene.rng.random() < 0.6:
        scene.box("SignSymbol", x - 4, horizon + 8 - tall, 10, 8)


def write_street(folder: Path, *, train: int = 160, valid: int = 40, seed: int = 0) -> None:
    """Write images/, labels/, codes.txt and valid.txt; the same seed gives the same bytes.

    codes.txt is written last: where it stands, the rest is complete.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = [f"street_{index:04d}" for index in range(train + valid)]
    for index, name in enumerate(names):
        picture, mask = draw_scene(np.random.default_rng([seed, index]))
        picture.save(folder / "images" / f"{name}.png")
        mask.save(folder / "labels" / f"{name}_P.png")
    held_out = [f"{name}.png\n" for name in names[train:]]
    (folder / "valid.txt").write_text("".join(held_out), "utf-8")
    (folder / "codes.txt").write_text("\n".join(CODES) + "\n", "utf-8")
