"""How every figure looks: one theme, colours that colour-blind readers can tell apart, light and dark, same bytes.

Matplotlib writes each colour as a hex number into the style of its element. `save` adds rules to the file that
replace exactly those numbers where the reader's screen is dark; a program that knows no such rules shows the light one.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
# After Okabe and Ito; the second colour of a pair is its lighter twin for dark screens.
COLOURS = {
    "#0072b2": "#58b0e8",
    "#c2500a": "#f08c4b",
    "#00805d": "#3cc79c",
    "#a8497f": "#e08fbd",
    "#9a6a00": "#e3b341",
    "#5b5bd6": "#a5a5ff",
    "#4f5b66": "#aab4be",
    "#8c2d04": "#d98c6a",
}
# From low to high: one hue, so that no colour-blindness hurts, told apart by lightness alone. More is darker on a light
# screen and brighter on a dark one. The step in the middle is larger: neither dark nor light text reads well on it.
RAMP = {
    "#eff6fc": "#111d2b",
    "#d9e9f6": "#152a40",
    "#bcd8ee": "#1a3957",
    "#97c1e2": "#1f4a72",
    "#3d76ad": "#4a8fca",
    "#2c5f95": "#6eabdd",
    "#1d497b": "#9ac8ec",
    "#0f335e": "#cfe6f8",
}
# From worse to better: orange and blue, which no colour-blindness confuses, pale in the middle. Blue is of the ramp.
WORSE = {
    "#853a04": "#f5c7a0",
    "#b1540f": "#e0894a",
    "#f3bf92": "#66401f",
    "#fbe3d0": "#38261a",
}
MIDDLE = {"#eef0f2": "#21262d"}
DARK = {INK: "#e6edf3", FAINT: "#9198a1", GRID: "#30363d", PAPER: "#0d1117", **COLOURS, **RAMP, **WORSE, **MIDDLE}
SERIES, SHADES = tuple(COLOURS), tuple(RAMP)
DIVERGING = (*WORSE, *MIDDLE, *(SHADES[step] for step in (1, 3, 4, 6)))
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
WIDTH = 7.5  # inches; 720 px in a browser

THEME: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",  # measured with it; the file names the reader's own fonts, which are no wider
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "methodbench",
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def colour(number: int) -> str:
    """The colour of the n-th series."""
    return SERIES[number % len(SERIES)]


def shade(share: float) -> tuple[str, str]:
    """The shade of a number that lies `share` of the way from lowest to highest, and the colour of text on it."""
    place = min(len(SHADES) - 1, max(0, int(share * len(SHADES))))
    return SHADES[place], INK if place < len(SHADES) // 2 else PAPER


def diverging(share: float) -> tuple[str, str]:
    """As `shade`, from worst (0) by no difference (0.5) to best (1)."""
    place = min(len(DIVERGING) - 1, max(0, int(share * len(DIVERGING))))
    return DIVERGING[place], INK if abs(place - len(DIVERGING) // 2) <= 2 else PAPER


def canvas(height: float, panels: tuple[int, int] = (1, 1), **shared: Any) -> tuple[Any, list[Any]]:
    """A themed figure `height` inches high and its axes, row by row. Close it by `save`."""
    with plt.rc_context(THEME):
        figure, axes = plt.subplots(*panels, figsize=(WIDTH, height), squeeze=False, layout="constrained", **shared)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return figure, list(axes.flat)


def save(figure: Any, title: str, path: Path) -> None:
    """Write the figure as SVG with its title, the same bytes every time, and close it."""
    text = StringIO()
    with plt.rc_context(THEME):
        figure.suptitle(title, x=0.012, ha="left", fontsize=11.5, fontweight="bold", wrap=True)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(themed(text.getvalue()), encoding="utf-8")


def themed(svg: str) -> str:
    """The SVG with the reader's fonts and with rules for dark screens."""
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", FONT, svg)
    rules = [
        f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
        if f"{part}: {light}" in svg
    ]
    style = f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}}</style>\n"
    start = svg.index("<defs>")
    return svg[:start] + style + svg[start:]
