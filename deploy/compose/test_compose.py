"""Checks the compose file as `docker-compose config` reads it. `scripts/test-deploy` prepares a copy of deploy/ and names what came of it.

COMPOSE: its JSON; PREPARED: the copy of deploy/ in which deploy/compose/prepare ran; NATS_SERVER: the brokers' program.
"""

import json
import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def lines_with(path, start):
    return [line for line in (ROOT / path).read_text().splitlines() if line.startswith(start)]


class Compose(unittest.TestCase):
    def setUp(self):
        self.services = json.loads(Path(os.environ["COMPOSE"]).read_text())["services"]
        self.brokers = {name: each for name, each in self.services.items() if name.startswith("broker-")}
        self.nodes = {name: each for name, each in self.services.items() if name.startswith("node-")}

    def test_there_are_three_brokers_three_nodes_and_a_load(self):
        self.assertEqual(set(self.brokers), {"broker-1", "broker-2", "broker-3"})
        self.assertEqual(set(self.nodes), {"node-1", "node-2", "node-3"})
        self.assertEqual(set(self.services) - set(self.brokers) - set(self.nodes), {"load"})
        zones = [each["command"][each["command"].index("--zone") + 1] for each in self.nodes.values()]
        self.assertEqual(len(set(zones)), 3)
        for name, node in self.nodes.items():
            self.assertEqual(node["command"][node["command"].index("--node") + 1], name)
            self.assertEqual(set(node["depends_on"]), set(self.brokers))

    def test_only_this_machine_reaches_the_ports(self):
        for name, service in self.services.items():
            for port in service.get("ports", []):
                self.assertEqual(port["host_ip"], "127.0.0.1", name)

    def test_all_that_is_mounted_is_there_and_brokers_take_their_settings(self):
        """Each broker reads its files as they are mounted: with the real program, and every path as in the container."""
        for name, broker in self.brokers.items():
            mounts = {each["target"]: each["source"] for each in broker["volumes"] if each["type"] == "bind"}
            self.assertTrue(all(Path(source).is_file() for source in mounts.values()), mounts)
            folder = Path(os.environ["PREPARED"]) / f"container-{name}"
            for target, source in mounts.items():
                file = folder / target.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                if file.suffix == ".conf":
                    text = Path(source).read_text().replace('"/etc/nats', f'"{folder}/etc/nats')
                    file.write_text(text.replace('"/var/lib/nats', f'"{folder}/var/lib/nats'))
                else:
                    file.write_bytes(Path(source).read_bytes())
            command = [word.replace("/etc/nats/", f"{folder}/etc/nats/") for word in broker["command"]]
            said = subprocess.run([os.environ["NATS_SERVER"], *command, "-t"], capture_output=True, text=True)
            self.assertEqual(said.returncode, 0, said.stderr)

    def test_nodes_know_the_brokers_by_their_names_and_the_password_of_theirs(self):
        passwords = (Path(os.environ["PREPARED"]) / "compose/passwords.conf").read_text()
        password = re.search(r'VAGN_PASSWORD: "(.+)"', passwords)[1]
        for node in self.nodes.values():
            addresses = node["environment"]["VAGN_CLUSTER_NATS"].split(",")
            self.assertEqual(addresses, [f"tls://vagn:{password}@{name}" for name in sorted(self.brokers)])
            (secret,) = node["secrets"]
            self.assertEqual(secret["target"], node["environment"]["VAGN_CLUSTER_CA"])


class Image(unittest.TestCase):
    def test_it_is_built_with_the_rust_of_the_tree(self):
        (wanted,) = lines_with("Cargo.toml", "rust-version")
        (base,) = lines_with("deploy/Dockerfile", "FROM rust:")
        self.assertEqual(re.search(r"rust:([0-9.]+)-", base)[1], wanted.split('"')[1])

    def test_what_is_embedded_is_not_left_out_of_the_build(self):
        """Paths above the crates that sources embed, against .dockerignore."""
        kept = {line[1:] for line in lines_with(".dockerignore", "!")}
        left_out = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#!"]
        embedded = set()
        for source in ROOT.glob("crates/*/src/**/*.rs"):
            for found in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
                path = (source.parent / found).resolve()
                if path.is_file():
                    embedded.add(str(path.relative_to(ROOT)))
        self.assertIn("data/capmetro-austin-30min-small.csv", embedded)
        for path in embedded - kept:
            self.assertFalse(any(path == each or path.startswith(each.rstrip("*").rstrip("/") + "/") for each in left_out), path)


if __name__ == "__main__":
    unittest.main()
