"""Checks that the names in deploy/ exist in the rest of the tree: metrics, sections of the runbook, tests of alerts.

python3 -m unittest discover --start-directory deploy
"""

import json
import pathlib
import re
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# How a metric is given its name in the program. Counters get `_total` at the end, those with a unit get that.
REGISTERED = re.compile(
    r'(?:register|register_with_unit|encode_descriptor|gauge|level|seconds|times)\(\s*"(\w+)"'
    r'|(?:gauge|counter|counters)\(\s*(?:&mut encoder|registry),\s*"(\w+)"'
)
ENDINGS = re.compile(r"(_total|_bucket|_sum|_count)?$")


def registered():
    """Names of metrics in the program's source, without `vagn_` and without suffixes."""
    sources = (ROOT / "crates").glob("*/src/**/*.rs")
    found = (match for source in sources for match in REGISTERED.finditer(source.read_text(encoding="utf-8")))
    return {one or other for one, other in (match.groups() for match in found)}


def is_registered(metric, names):
    plain = ENDINGS.sub("", metric.removeprefix("vagn_"), count=1)
    return plain in names or plain.removesuffix("_seconds") in names


def expressions(value):
    """All PromQL expressions and queries in the dashboard."""
    if isinstance(value, dict):
        mine = (value.get(key) for key in ("expr", "query", "definition"))
        yield from (text for text in mine if isinstance(text, str))
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from expressions(child)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def metrics_in(text):
    return set(re.findall(r"\bvagn_\w+", text))


class Names(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.rules = re.sub(r"^ *#.*\n", "", read("deploy/prometheus/vagn.rules.yml"), flags=re.MULTILINE)
        self.alerts = re.findall(r"^ *- alert: (\w+)$", self.rules, re.MULTILINE)
        self.dashboard = json.loads(read("deploy/grafana/vagn.json"))

    def test_every_metric_is_one_of_the_program(self):
        names = registered()
        used = {
            "rules": metrics_in(self.rules),
            "tests of the rules": metrics_in(read("deploy/prometheus/vagn.rules.test.yml")),
            "dashboard": metrics_in("\n".join(expressions(self.dashboard))),
        }
        unknown = {where: sorted(one for one in said if not is_registered(one, names)) for where, said in used.items()}
        self.assertEqual(unknown, {where: [] for where in used})

    def test_every_alert_has_a_section_in_the_runbook(self):
        headings = re.findall(r"^### (\w+)$", read("docs/operating.md"), re.MULTILINE)
        self.assertEqual(sorted(headings), sorted(self.alerts))
        pointers = re.findall(r"runbook: docs/operating\.md#(\w+)", self.rules)
        self.assertEqual(pointers, [alert.lower() for alert in self.alerts])

    def test_every_alert_is_tested_both_ways(self):
        tests = read("deploy/prometheus/vagn.rules.test.yml")
        asked = re.findall(r'expr: ALERTS\{alertname="(\w+)".*\n +eval_time: \w+\n +exp_samples:( \[\])?', tests)
        self.assertEqual({name for name, silent in asked if not silent}, set(self.alerts))
        self.assertEqual({name for name, silent in asked if silent}, set(self.alerts))

    def test_every_alert_says_how_urgent_it_is_and_what_it_means(self):
        for alert in re.split(r"^ *- alert: ", self.rules, flags=re.MULTILINE)[1:]:
            self.assertRegex(alert, r"labels: \{severity: (page|ticket), service: vagn\}")
            self.assertRegex(alert, r"summary: \S.*\n +description: \S.*\n +runbook: ")

    def test_every_panel_has_a_description_and_a_unit(self):
        panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        self.assertGreater(len(panels), 20)
        self.assertEqual(len({panel["id"] for panel in self.dashboard["panels"]}), len(self.dashboard["panels"]))
        for panel in panels:
            self.assertTrue(panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                self.assertIn('job="vagn", instance=~"$instance"', target["expr"])

    def test_what_each_node_of_a_cluster_shows_of_the_whole_service_is_not_added_up(self):
        of_all = ("incidents_(open|unaccepted|unacknowledged)", "incidents_oldest_una\w+", "emergency_(dead_letters|unfamiliar_open)")
        shown = re.compile(rf"vagn_({'|'.join(of_all)})\b")
        cluster = "on (job, instance) vagn_cluster_trail_leads"
        for expression in filter(shown.search, expressions(self.dashboard)):
            if not expression.startswith("max("):
                self.assertRegex(expression, rf"^sum\(\(.* unless {re.escape(cluster)}\) or max by \(job\) \(.* and {re.escape(cluster)}\)\)$")
        for alert in re.split(r"^ *- alert: ", self.rules, flags=re.MULTILINE)[1:]:
            name, watched = alert.split("\n", 1)[0], alert.split("labels:")[0]
            if shown.search(watched) and name != "VagnEmergencyMetricsMissing":
                self.assertIn(f"unless {cluster}", watched, name)
                self.assertRegex(watched, r"(max|min) by \(job\)", name)

    def test_no_two_panels_overlap(self):
        taken = set()
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            columns = range(place["x"], place["x"] + place["w"])
            rows = range(place["y"], place["y"] + place["h"])
            cells = {(column, row) for column in columns for row in rows}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(columns.stop, 24)
            taken |= cells


if __name__ == "__main__":
    unittest.main()
