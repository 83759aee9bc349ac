"""Checks the chart as helm renders it: what the schemas of Kubernetes do not say. `scripts/test-deploy` renders it and names the files.

CHART: as it is; CHART_TLS: with a certificate of the API. HELM: the program.
"""

import os
import subprocess
import tomllib
import unittest
from pathlib import Path

import yaml

CHART = Path(__file__).parent / "vagn"

# As `vagn status --for` has them, and the probe for copies.
PURPOSES = {"life", "alarms", "questions", "positions", "copies"}
WHOLE = ["vagn", "cluster", "status", "--whole", "--data-dir", "/var/lib/vagn/data"]

def rendered(name):
    with open(os.environ[name]) as file:
        return [each for each in yaml.safe_load_all(file) if each]


def of_kind(parts, kind):
    return {part["metadata"]["name"]: part for part in parts if part["kind"] == kind}


def container(group):
    (only,) = group["spec"]["template"]["spec"]["containers"]
    return only


def purpose(probe):
    words = probe["exec"]["command"]
    if words == WHOLE:
        return "copies"
    assert words[:3] == ["vagn", "status", "--for"] and len(words) == 4, words
    return words[3]


class Chart(unittest.TestCase):
    def setUp(self):
        self.parts = rendered("CHART")
        self.groups = of_kind(self.parts, "StatefulSet")
        self.assertEqual(set(self.groups), {"fleet-store", "fleet-ingest", "fleet-query"})

    def test_each_probe_asks_for_the_purpose_of_its_group(self):
        ready = {}
        for name, group in self.groups.items():
            probes = container(group)
            self.assertEqual([purpose(probes[kind]) for kind in ("startupProbe", "livenessProbe")], ["life", "life"])
            ready[name] = purpose(probes["readinessProbe"])
        self.assertEqual(ready, {"fleet-store": "copies", "fleet-ingest": "alarms", "fleet-query": "questions"})
        self.assertLessEqual(set(ready.values()), PURPOSES)
        for group in self.groups.values():
            self.assertIn(f"--data-dir={WHOLE[-1]}", container(group)["args"])

    def test_one_node_of_a_group_at_a_time_may_be_taken_away(self):
        budgets = of_kind(self.parts, "PodDisruptionBudget")
        self.assertEqual(set(budgets), set(self.groups))
        for name, budget in budgets.items():
            self.assertEqual(budget["spec"]["maxUnavailable"], 1)
            self.assertEqual(budget["spec"]["selector"], self.groups[name]["spec"]["selector"])

    def test_nodes_of_a_group_are_spread_over_zones_and_machines_and_know_their_zone(self):
        for group in self.groups.values():
            pod = group["spec"]["template"]
            spread = pod["spec"]["topologySpreadConstraints"]
            keys = [each["topologyKey"] for each in spread]
            self.assertEqual(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"])
            for each in spread:
                self.assertEqual((each["maxSkew"], each["whenUnsatisfiable"]), (1, "DoNotSchedule"))
                self.assertEqual(each["labelSelector"], group["spec"]["selector"])
            zone = next(each for each in container(group)["env"] if each["name"] == "VAGN_CLUSTER_ZONE")
            self.assertEqual(zone["valueFrom"]["fieldRef"]["fieldPath"], f"metadata.labels['{keys[0]}']")

    def test_selectors_find_the_nodes_and_services_their_ports(self):
        services = of_kind(self.parts, "Service")
        for name, group in self.groups.items():
            labels = group["spec"]["template"]["metadata"]["labels"]
            self.assertLessEqual(group["spec"]["selector"]["matchLabels"].items(), labels.items())
            ports = {port["name"]: port["containerPort"] for port in container(group)["ports"]}
            self.assertIn(group["spec"]["serviceName"], services)
            for service in (services[group["spec"]["serviceName"]], services.get(name)):
                if service is not None:
                    self.assertEqual(service["spec"]["selector"], group["spec"]["selector"]["matchLabels"])
                    for port in service["spec"]["ports"]:
                        self.assertEqual(ports[port["targetPort"]], port["port"])
        self.assertNotIn("fleet-store", services, "no balancer sends stores anything")

    def test_secrets_come_from_secrets_and_nothing_else_is_mounted(self):
        for chart in ("CHART", "CHART_TLS"):
            for group in of_kind(rendered(chart), "StatefulSet").values():
                one, pod = container(group), group["spec"]["template"]["spec"]
                for each in one["env"]:
                    is_secret = each["name"] in ("VAGN_CLUSTER_NATS", "VAGN_HTTP_TOKENS")
                    self.assertEqual("secretKeyRef" in each.get("valueFrom", {}), is_secret, each["name"])
                volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
                self.assertEqual({mount["name"] for mount in one["volumeMounts"]}, volumes)
                self.assertEqual(one["securityContext"]["capabilities"], {"drop": ["ALL"]})
                self.assertTrue(pod["securityContext"]["runAsNonRoot"] and one["securityContext"]["readOnlyRootFilesystem"])
        names = {each["name"] for each in container(of_kind(rendered("CHART_TLS"), "StatefulSet")["fleet-query"])["env"]}
        self.assertLessEqual({"VAGN_HTTP_CERT", "VAGN_HTTP_KEY"}, names)

    def test_settings_are_toml_and_doors_ask_for_keys(self):
        (config,) = of_kind(self.parts, "ConfigMap").values()
        settings = tomllib.loads(config["data"]["vagn.toml"])
        self.assertEqual(settings["auth"]["devices"], "required")
        for group in self.groups.values():
            self.assertNotIn("VAGN_INSECURE_OPEN", {each["name"] for each in container(group)["env"]})

    def test_a_port_that_is_none_is_refused(self):
        command = [os.environ["HELM"], "template", "fleet", CHART, "--set", "groups.query.service.ports={ops}"]
        said = subprocess.run(command, capture_output=True, text=True)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("a port is http, tcp or udp, not ops", said.stderr)


if __name__ == "__main__":
    unittest.main()
