"""Which alert of deploy/prometheus fires on metrics that a service has shown: promtool judges the rules themselves."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "vagn.rules.yml"
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "tools"

# As prometheus.yml names the job; the rules look for it.
SCRAPED = 'job="vagn",instance="attacked"'


def need_promtool():
    """Unpacks promtool as scripts/test-deploy does, unless it is there. Ends the program if it cannot be had."""
    os.environ["PATH"] = f"{TOOLS}:{os.environ['PATH']}"
    TOOLS.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / "scripts" / "needs", "--unpack", TOOLS, "promtool:prometheus"], check=True)


def judge(alert, pages):
    """`fired`, `pending` or `silent`: how far the alert came on `pages`, which are (second, text), and the text None where none came."""
    found = series(pages)
    for state, word in (("firing", "fired"), ("pending", "pending")):
        if found and holds(f'group(last_over_time(ALERTS{{alertname="{alert}",alertstate="{state}"}}[1h]))', found):
            return word
    return "silent"


def series(pages):
    """The values of all series that the rules look at, one for each second, as promtool writes them; `_` where there is none."""
    names = set(re.findall(r"\bvagn_\w+", RULES.read_text()))
    length = 1 + max((int(at) for at, _ in pages), default=-1)
    found = {}
    for at, page in pages:
        note(found, f"up{{{SCRAPED}}}", int(at), "0" if page is None else "1", length)
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? ([-+.\deE]+)$", page or "", re.MULTILINE):
            if name in names:
                note(found, f"{name}{{{labels}{labels and ','}{SCRAPED}}}", int(at), value, length)
    return {name: " ".join(values) for name, values in found.items()}


def note(found, name, at, value, length):
    found.setdefault(name, ["_"] * length)[at] = value


def holds(expression, found):
    """True if the expression has the value 1 behind the last second."""
    end = 1 + max(len(values.split()) for values in found.values())
    expected = {"expr": expression, "eval_time": f"{end}s", "exp_samples": [{"labels": "{}", "value": 1}]}
    inputs = [{"series": name, "values": values} for name, values in found.items()]
    test = {"interval": "1s", "input_series": inputs, "promql_expr_test": [expected]}
    # JSON is YAML, too.
    text = json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1s", "tests": [test]})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["promtool", "test", "rules", file.name], capture_output=True, text=True)
    if done.returncode and "exp:" not in done.stdout + done.stderr:
        raise RuntimeError(f"promtool cannot judge: {done.stdout}{done.stderr}")
    return done.returncode == 0
