"""Draw the architecture as SVG, for the light and the dark theme: ``python docs/architecture_picture.py``."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).parent / "images"
THEMES: Final = {
    "light": {
        "text": "#1f2937",
        "soft": "#4b5563",
        "line": "#475569",
        "client": "#e0f2fe",
        "service": "#e0e7ff",
        "disk": "#fef3c7",
    },
    "dark": {
        "text": "#f1f5f9",
        "soft": "#cbd5e1",
        "line": "#94a3b8",
        "client": "#0c4a6e",
        "service": "#312e81",
        "disk": "#713f12",
    },
}
# x, y, width, height, colour, title, lines
BOXES: Final = (
    (20, 30, 180, 76, "client", "Browser", ("page, 3D viewer",)),
    (20, 128, 180, 76, "client", "Your programs", ("HTTP, WebSocket",)),
    (20, 226, 180, 92, "client", "CryoMamba's clients", ("desktop, command line,", "Python")),
    (300, 70, 170, 110, "service", "Gateway", ("tokens, uploads,", "sections of volumes;", "keeps no job state")),
    (300, 252, 170, 120, "service", "Broker", ("jobs, queue, owners;", "forwards previews;", "reads no voxels")),
    (580, 252, 190, 120, "service", "Inference", ("claims jobs;", "each engine runs in a", "process of its own")),
    (300, 420, 170, 56, "disk", "jobs.sqlite", ("every job and its history",)),
    (580, 420, 190, 56, "disk", "Tomograms, masks", ("read and written in tiles",)),
)
# from x, y to x, y, label, label x, label y, anchor, both ways
ARROWS: Final = (
    (200, 68, 300, 105, "HTTP", 250, 74, "middle", True),
    (200, 166, 300, 140, "WebSocket", 246, 142, "middle", True),
    (200, 262, 300, 168, "", 0, 0, "middle", True),
    (200, 292, 300, 312, "ZeroMQ", 250, 322, "middle", True),
    (385, 180, 385, 252, "requests, events, previews", 396, 220, "start", True),
    (580, 290, 470, 290, "claims, progress", 525, 282, "middle", True),
    (580, 335, 470, 335, "previews", 525, 353, "middle", False),
    (385, 372, 385, 420, "", 0, 0, "start", True),
    (675, 372, 675, 420, "", 0, 0, "start", True),
)
WIDTH, HEIGHT = 790, 496
DESCRIPTION: Final = (
    "Browsers and programs use the gateway over HTTP and WebSocket. Desktop, command line and Python use the gateway, "
    "or the broker directly over ZeroMQ. The broker stores the jobs; inference services claim them, read tomograms, "
    "and send progress and previews back through the broker."
)


def draw(theme: str) -> str:
    """Return the picture."""
    colour = THEMES[theme]
    head = f'<path d="M0 0 10 5 0 10z" fill="{colour["line"]}"/>'
    marker = (
        'id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"'
    )
    font = 'font-family="system-ui, sans-serif" font-size="14"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {font}>',
        "<title>Architecture of CryoMamba</title>",
        f"<desc>{DESCRIPTION}</desc>",
        f"<defs><marker {marker}>{head}</marker></defs>",
    ]
    for x1, y1, x2, y2, label, x, y, anchor, both in ARROWS:
        start = ' marker-start="url(#head)"' if both else ""
        parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour["line"]}" stroke-width="1.6" '
            f'marker-end="url(#head)"{start}/>'
        )
        if label:
            style = f'text-anchor="{anchor}" font-size="12" fill="{colour["soft"]}"'
            parts.append(f'<text x="{x}" y="{y}" {style}>{escape(label)}</text>')
    for x, y, width, height, kind, title, lines in BOXES:
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="9" fill="{colour[kind]}" '
            f'stroke="{colour["line"]}" stroke-width="1.2"/>'
        )
        middle = x + width / 2
        first = y + height / 2 - 9 * len(lines) + 5
        bold = f'<text x="{middle:g}" y="{first:g}" text-anchor="middle" font-weight="600" fill="{colour["text"]}">'
        parts.append(f"{bold}{escape(title)}</text>")
        for number, line in enumerate(lines, 1):
            at = first + 18 * number
            style = f'text-anchor="middle" font-size="13" fill="{colour["soft"]}"'
            parts.append(f'<text x="{middle:g}" y="{at:g}" {style}>{escape(line)}</text>')
    return "\n".join((*parts, "</svg>\n"))


if __name__ == "__main__":
    for name in THEMES:
        (IMAGES / f"architecture-{name}.svg").write_text(draw(name), encoding="utf-8")
