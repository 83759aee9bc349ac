"""Checks how scripts/attacks finds out if an alert fires, with the rules themselves. Needs promtool.

scripts/test-deploy
"""

import pathlib
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import alerts  # noqa: E402
from attack_scene import ATTACKS  # noqa: E402


def pages(seconds, page):
    return [(second + 0.3, page(second)) for second in range(seconds)]


def connections(open_from):
    """A port that takes 64 connections and is full from a second on."""
    most = 'vagn_port_connections_max{port="http"} 64\n'
    return lambda second: most + (f'vagn_port_connections{{port="http"}} {64 if second >= open_from else 1}\n')


class Judged(unittest.TestCase):
    def test_an_alert_that_waits_is_pending_until_its_time_is_over(self):
        self.assertEqual(alerts.judge("VagnPortFull", pages(70, connections(2))), "fired")
        self.assertEqual(alerts.judge("VagnPortFull", pages(40, connections(2))), "pending")
        self.assertEqual(alerts.judge("VagnPortFull", pages(40, connections(99))), "silent")

    def test_an_alert_over_a_counter_fires_when_it_grows_and_pages_may_be_missing(self):
        grown = lambda second: None if second % 3 == 1 else f'vagn_http_bodies_refused_total{{reason="full"}} {second}\n'
        still = lambda second: 'vagn_http_bodies_refused_total{reason="full"} 7\n'
        self.assertEqual(alerts.judge("VagnBodiesRefused", pages(9, grown)), "fired")
        self.assertEqual(alerts.judge("VagnBodiesRefused", pages(9, still)), "silent")

    def test_each_attack_has_an_alert_of_the_rules(self):
        rules = alerts.RULES.read_text(encoding="utf-8")
        for name, (_, _, alert) in ATTACKS.items():
            self.assertIn(f"alert: {alert}\n", rules, name)


if __name__ == "__main__":
    unittest.main()
