"""Checks how scripts/attacks finds out if an alert fires, with the rules themselves. Needs promtool.

scripts/test-deploy
"""

import pathlib
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import alerts  # noqa: E402
from attack_means import MEANS  # noqa: E402
from attack_scene import ATTACKS  # noqa: E402
from attack_stuck import WORLD_VEHICLES, Download, closed_and_kept, most_connections  # noqa: E402


def pages(seconds, page):
    return [(second + 0.3, page(second)) for second in range(seconds)]


def connections(open_from):
    """A port that takes 64 connections and is full from a second on."""
    most = 'vagn_port_connections_max{port="http"} 64\n'
    return lambda second: most + (f'vagn_port_connections{{port="http"}} {64 if second >= open_from else 1}\n')


SOCKETS = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0100007F:2382 0101007F:8001 04 00010001:00000000 04:00000a00 00000000     0        0 0 1 0
   2: 0100007F:2382 0101007F:8002 01 00010001:00000000 04:00000a00 00000000     0        0 2 1 0
   3: 0101007F:8001 0100007F:2382 04 00000000:00001000 00:00000000 00000000     0        0 3 1 0
   4: 0100007F:2382 0101007F:8003 04 00010001:00000000 04:00000a00 00000000     0        0 0 1 0
"""


class Stuck(unittest.TestCase):
    def test_the_kernel_keeps_what_was_closed_here_and_is_not_taken(self):
        self.assertEqual(closed_and_kept(SOCKETS, 9090), 2)
        self.assertEqual(closed_and_kept(SOCKETS, 9091), 0)

    def test_the_most_connections_are_those_of_the_fullest_second(self):
        seen = [(0.3, connections(9)(0)), (1.3, None), (2.3, 'vagn_port_connections{port="http"} 1600\nvagn_port_connections{port="tcp"} 7000\n')]
        self.assertEqual(most_connections(seen), 1_600)
        self.assertEqual(most_connections([]), 0)

    def test_a_download_is_whole_with_all_vehicles_only(self):
        slow = Download.__new__(Download)
        slow.source = "127.0.2.1"
        answer = lambda vehicles: '{"features": [' + ", ".join(["{}"] * vehicles) + "]}"
        self.assertEqual(slow.failure_of(answer(WORLD_VEHICLES)), "")
        self.assertIn("9999 vehicles", slow.failure_of(answer(WORLD_VEHICLES - 1)))
        self.assertRaises(ValueError, slow.failure_of, answer(WORLD_VEHICLES)[:-1])


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

    def test_each_attack_has_means(self):
        # Two are done with other means: the sender of the load, and the crowd of `idle`.
        self.assertEqual(set(ATTACKS) - set(MEANS), {"strangers", "full"})

    def test_each_attack_has_an_alert_of_the_rules(self):
        rules = alerts.RULES.read_text(encoding="utf-8")
        for name, (_, _, alert) in ATTACKS.items():
            self.assertIn(f"alert: {alert}\n", rules, name)


if __name__ == "__main__":
    unittest.main()
