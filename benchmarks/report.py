#!/usr/bin/env python3
"""Makes the page and the picture of the benchmarks from what they printed.

    benchmarks/report.py RESULTS PAGE PICTURES
    benchmarks/report.py --check PAGE PICTURES    # whether the pictures are of the results that are in the page

RESULTS is what `benchmarks/run` printed. PAGE gets every table as it is. PICTURES is a folder for two: benchmarks.svg has
a row for each question, how long buffers took in terms of the best peer, and where the other peers are; summary.svg has
those of one question of each kind.
"""
import html
import pathlib
import re
import sys

TABLE_ROW = re.compile(r"^    (?P<name>\S.*?)\s+(?P<time>[\d.]+) n?s\s+(?P<ratio>[\d.]+) x the best peer(?P<rest>.*)$")
SUMMARY = (  # questions, and who of ours answers them
    ("1000 blocks of 8..256", "bump"), ("30 int64", "slab"), ("10 000 blocks", "slab"), ("unordered_map", "pool"),
    ("16 B to 1 KiB, 1000 live$", "pool"), ("16 B to 1 KiB, 100000 live$", "pool"), ("python", "pool"), ("clang", "pool"),
    ("two threads, 16 B to 1 KiB", "concurrent"), ("one thread allocates", "concurrent"), (r"a \* b \+ c, 1024", ""),
    ("exp, 1024", ""), ("sum over axis 1, 1024", ""), ("permuted copy, 2048", ""))
LEAST, MOST = 1 / 16, 16  # ratios beyond are drawn at the edge


def questions(lines):
    """Yields (question, [(name, ratio, kind)]), kind being ours, peer or limit."""
    question, rows = None, []
    for line in lines + ["end"]:
        row = TABLE_ROW.match(line)
        if row:
            kind = "limit" if "limit" in row["rest"] or row["name"].startswith("(") else (
                "ours" if row["rest"].rstrip().endswith("*") else "peer")
            rows.append((row["name"], float(row["ratio"]), kind))
        elif line and not line.startswith(" "):
            if any(kind == "ours" for _, _, kind in rows) and any(kind == "peer" for _, _, kind in rows):
                yield question, rows
            question, rows = re.sub(r"^W\d+: |(; |: \d).*$", "", line), []


def summary(found):
    return [(question, rows) for question, rows in found
            if any(re.search(about, question) and any(kind == "ours" and name.startswith(ours) for name, _, kind in rows)
                   for about, ours in SUMMARY)]


def place(ratio, left, width):
    """Where a ratio is on an axis on which each doubling takes the same way."""
    from math import log2
    clipped = min(max(ratio, LEAST), MOST)
    return left + width * (log2(clipped) - log2(LEAST)) / (log2(MOST) - log2(LEAST))


def picture(found, machine):
    left, width, row_height, top = 450, 420, 20, 64
    height = top + row_height * len(found) + 34
    text = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 220} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="16" y="22" font-size="15" font-weight="bold">'
        'Time of buffers and of its peers, the best peer being 1 (left is faster)</text>',
        f'<text x="16" y="40" fill="#667">{html.escape(machine)}</text>',
    ]
    ratio = LEAST
    while ratio <= MOST:
        x = place(ratio, left, width)
        label = f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:g}"
        text.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{height - 28}" '
                    f'stroke="{"#222" if ratio == 1 else "#ddd"}"/>'
                    f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle" fill="#667">{label}</text>')
        ratio *= 2
    for i, (question, rows) in enumerate(found):
        y = top + row_height * i + 6
        label = question if len(question) <= 70 else question[:68] + "…"
        ours = next(name for name, _, kind in rows if kind == "ours").split(",")[0].replace("buffers", "tensor")
        text.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{html.escape(label)}</text>'
                    f'<text x="{left + width + 16}" y="{y + 4}" fill="#667">{html.escape(ours)}</text>')
        for name, ratio, kind in sorted(rows, key=lambda row: row[2] == "ours"):
            if kind == "limit":
                continue
            x = place(ratio, left, width)
            fill, radius = ("#1f6feb", 5.5) if kind == "ours" else ("#b8bec8", 3.5)
            text.append(f'<circle cx="{x:.1f}" cy="{y}" r="{radius}" fill="{fill}" stroke="#fff">'
                        f'<title>{html.escape(name)}: {ratio:.2f}</title></circle>')
    text.append(f'<circle cx="{left + 8}" cy="46" r="5.5" fill="#1f6feb"/><text x="{left + 18}" y="50">buffers</text>'
                f'<circle cx="{left + 88}" cy="46" r="3.5" fill="#b8bec8"/><text x="{left + 98}" y="50">a peer</text></svg>')
    return "\n".join(text) + "\n"


def page(lines, name):
    missed = sum("MISSED" in line for line in lines)
    targets = sum(" at most " in line and re.search(r"at most [\d.]+: ", line) is not None for line in lines)
    return f"""# Benchmarks

What the benchmarks measured, with machine, compiler and the peers' versions; `benchmarks/run --write` measures again and
writes this page. Times are medians of interleaved rounds on a shared machine, so only the ratios mean something, and
those by some per cent: by more where threads or resident memory are concerned. A star marks what is ours, and
`at most` what we want to reach: {targets - missed} of {targets} targets were met.

![Ratios of all questions]({name})

```text
{chr(10).join(lines).strip()}
```
"""


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    results, page_path, pictures = sys.argv[1:]
    check = results == "--check"
    if check:
        page_path, results = None, page_path
    with open(results, encoding="utf-8") as file:
        text = file.read()
    lines = (text.split("```")[1].removeprefix("text\n") if check else text).splitlines()
    found = list(questions(lines))
    if not found:
        sys.exit(f"{results}: there is no table in it")
    for name, shown in (("benchmarks.svg", found), ("summary.svg", summary(found))):
        path, drawn = pathlib.Path(pictures) / name, picture(shown, lines[0])
        if not check:
            path.write_text(drawn, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != drawn:
            sys.exit(f"{path} is not of the results in {results}")
    if not check:
        with open(page_path, "w", encoding="utf-8") as file:
            file.write(page(lines, f"{pathlib.Path(pictures).name}/benchmarks.svg"))


if __name__ == "__main__":
    main()
