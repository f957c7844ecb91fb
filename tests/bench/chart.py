#!/usr/bin/env python3
"""Draws the document of a benchmark as SVG: chart.py RESULT.json > RESULT.svg

One panel for each row, one bar for each contestant, the longer the better in every panel: where less is better, bars
show the best figure divided by theirs. The line across a panel is the target.
"""

import html
import json
import sys

WIDTH, COLUMNS, MARGIN = 1120, 2, 16
BAR, GAP, HEAD, FOOT = 15, 3, 36, 14
LABEL, FIGURE = 128, 92
COLOURS = {"storagefs": "#0b6e4f", "storagefs, cache": "#0b6e4f", "local": "#0b6e4f", "local, no passthrough": "#0b6e4f",
           "against": "#7fb69e", "rclone full": "#d08c3c", "rclone writes": "#e8bd85", "s3fs": "#6b7fa8", "s3fs, cache": "#6b7fa8",
           "bare client": "#c9c9c9", "file on disk": "#c9c9c9"}
OTHER = "#8d8d8d"


def goodness(entry):
    """Bar lengths between 0 and 1 by label, and the place of the target, which may lie beyond 1."""
    figures = {label: cell["value"] for label, cell in entry["results"].items() if "error" not in cell and cell["value"] > 0}
    if not figures:
        return {}, None
    if entry["better"] == "more":
        most = max(figures.values())
        lengths = {label: value / most for label, value in figures.items()}
    else:
        least = min(figures.values())
        lengths = {label: least / value for label, value in figures.items()}
    judged, own = entry.get("verdict"), lengths.get(entry["subject"])
    return lengths, own / judged["figure"] if judged and own else None


def words(x, y, text, size=12, anchor="start", weight="normal", colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{colour}">{html.escape(text)}</text>')


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'


def panel(entry, x, y, width):
    """The elements of one row's panel and its height."""
    lengths, target = goodness(entry)
    room = width - LABEL - FIGURE
    # The longest is a bar, or the target if that is not far beyond.
    scale = room / max(1.0, min(target or 0, 1.6))
    verdict = entry.get("verdict")
    title = entry["title"] + (f", {entry['latency_ms']} ms per request" if entry["latency_ms"] else "")
    note = f"{entry['ratio']:.3g}x {entry['best']}" if entry.get("ratio") else ""
    if entry["target"]:
        state = "" if verdict is None else " met" if verdict["met"] else f" missed, at {verdict['factor']:.2f}"
        note += ("; " if note else "") + f"target {entry['target']}{state}"
    drawn = [words(x, y + 13, title, 13, weight="bold"), words(x, y + 28, note, 11, colour="#666")]
    top = y + HEAD
    for number, (label, cell) in enumerate(entry["results"].items()):
        middle = top + number * (BAR + GAP)
        drawn.append(words(x + LABEL - 6, middle + BAR - 4, label, 11, "end"))
        length = lengths.get(label, 0) * scale
        if "error" in cell:
            drawn.append(words(x + LABEL, middle + BAR - 4, "failed", 11, colour="#a33"))
            continue
        drawn.append(rectangle(x + LABEL, middle, length, BAR, COLOURS.get(label, OTHER)))
        drawn.append(words(x + LABEL + length + 5, middle + BAR - 4, f"{cell['value']:.4g} {entry['unit']}", 11))
    bottom = top + len(entry["results"]) * (BAR + GAP)
    if target and target * scale <= room + FIGURE / 2:
        at = x + LABEL + target * scale
        drawn.append(f'<line x1="{at:.1f}" y1="{top - 2}" x2="{at:.1f}" y2="{bottom}" stroke="#c00" stroke-dasharray="3,2"/>')
    return drawn, bottom + FOOT - y


def draw(found):
    """The picture as text."""
    machine = found["machine"]
    versions = "; ".join(version for version in found["versions"].values() if version)
    drawn = [words(MARGIN, 26, "storagefs beside its peers: longer is better, the dashed line is the target", 17, weight="bold"),
             words(MARGIN, 46, f"{found['command']}, {found['date']}, commit {found['commit']}; endpoint: {found['endpoint']}", 12, colour="#555"),
             words(MARGIN, 62, f"{machine['processors']} x {machine['model']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}; {versions}",
                   12, colour="#555")]
    width = (WIDTH - MARGIN * (COLUMNS + 1)) / COLUMNS
    tops = [80.0] * COLUMNS
    for entry in found["rows"]:
        if "skipped" in entry:
            continue
        column = tops.index(min(tops))
        elements, height = panel(entry, MARGIN + column * (width + MARGIN), tops[column], width)
        drawn += elements
        tops[column] += height
    height = max(tops) + MARGIN / 2
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
                      f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="DejaVu Sans, Arial, sans-serif">',
                      f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>', *drawn, "</svg>", ""])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as result:
        print(draw(json.load(result)), end="")
