"""Results of every measurement for docs/BENCHMARKS.md: one JSON file per section, in target/bench."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def aim(what, aim, got, reached):
    """One aim in words, and its result."""
    return {"what": what, "aim": aim, "got": got, "reached": bool(reached)}


def plot(title, x, y, series):
    """`x` and `y` are (label, logarithmic); `series` is {name: [(x, y), …]}."""
    axis = lambda label, log: {"label": label, "log": log}
    points = [{"name": name, "points": [list(point) for point in points]} for name, points in series.items()]
    return {"title": title, "x": axis(*x), "y": axis(*y), "series": points}


def measured():
    """Commit, day and machine of the measurement, in the same words as `machine.rs` of vagn-bench."""

    def said(*command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    def field(file, name):
        return next(line.split(":", 1)[1].strip() for line in open(file) if line.startswith(name))

    changed = said("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    gib = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024 / 1024
    rust = " ".join(said("rustc", "--version").split()[:2])
    return {
        "commit": said("git", "rev-parse", "--short=12", "HEAD") + (" with changes" if changed else ""),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "quick": bool(os.environ.get("QUICK")),
        "machine": f"{field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, {rust}",
    }


def write(section, title, text, columns, rows, commands, plots=(), aims=()):
    """Writes target/bench/SECTION.json, and the table to standard output."""
    found = {
        "id": section,
        "title": title,
        "text": list(text),
        "columns": list(columns),
        "rows": [[str(cell) for cell in row] for row in rows],
        "plots": list(plots),
        "commands": list(commands),
        "aims": list(aims),
        "measured": measured(),
    }
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{section}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    show(found)


def show(found):
    print(f"\n{found['title']}")
    table = [found["columns"], *found["rows"]]
    widths = [max(len(row[at]) for row in table) for at in range(len(found["columns"]))]
    for row in table:
        first, rest = row[0].ljust(widths[0]), (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
        print("  " + "  ".join([first, *rest]))
    for each in found["aims"]:
        print(f"  {'reached' if each['reached'] else 'MISSED '}  {each['what']}: {each['got']} (aim {each['aim']})")


def number(value):
    """Writes three significant digits, with thousands grouped."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
