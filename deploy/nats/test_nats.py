"""Checks the brokers' settings with a real broker: the lines of README.md that install them, and the signal that ends one in good order.

NATS_SERVER: the brokers' program; COMPOSE: the compose file as JSON.
"""

import configparser
import grp
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent
HOSTS = ["a.example", "b.example", "c.example"]
WAIT_S = 30


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)


def commands():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("#")[0].split("&&") if part.strip().startswith("install ")]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Brokers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Runs the lines in a folder that stands for / and for the root of the repository. The group is ours, so that no right is needed."""
        cls.root = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        shutil.copytree(HERE, cls.root / "deploy/nats")
        subprocess.run([cls.root / "deploy/nats/certificates", cls.root / "brokers", *HOSTS], check=True)
        group = grp.getgrgid(os.getgid()).gr_name
        # `install -d` makes what is above a folder, but not by this mode.
        (cls.root / "etc").mkdir()
        (cls.root / "var/lib").mkdir(parents=True)
        for command in commands():
            command = command.replace(" -o nats", "").replace(" -g nats", f" -g {group}")
            command = re.sub(r" /(etc|var)/", rf" {cls.root}/\1/", command)
            subprocess.run(command, shell=True, check=True, cwd=cls.root)

    def test_the_user_of_the_brokers_reads_all_that_is_installed_and_others_nothing(self):
        there = [command for command in commands() if "/etc/nats" in command]
        self.assertEqual(len(there), 3)
        for command in there:
            self.assertIn(" -g nats ", command)
            self.assertNotIn(" -o nats ", command, "a broker changes nothing of it")
        etc = self.root / "etc/nats"
        installed = {str(path.relative_to(etc)): path.stat().st_mode & 0o7777 for path in [etc, *etc.rglob("*")]}
        files = ["broker.conf", "account.conf", "passwords.conf", "tls/ca.pem", "tls/broker.pem", "tls/broker.key"]
        self.assertEqual(installed, {".": 0o750, "tls": 0o750, **{name: 0o640 for name in files}})
        # The words beside the passwords say the same.
        self.assertIn("mode 0640", (etc / "passwords.conf").read_text())

    def run_broker(self):
        """Starts the broker that is installed, on ports of its own. Its paths are those of the folder."""
        port, monitor, route = free_port(), free_port(), free_port()
        for file in (self.root / "etc/nats").glob("*.conf"):
            text = re.sub(r'"/(etc|var)/', rf'"{self.root}/\1/', file.read_text())
            file.write_text(text)
        command = [os.environ["NATS_SERVER"], "-c", self.root / "etc/nats/broker.conf", "-n", "a", "-a", "127.0.0.1"]
        command += ["-p", str(port), "-m", str(monitor), "--cluster", f"nats://127.0.0.1:{route}", "--routes", f"nats://127.0.0.1:{route}"]
        log = self.root / "log"
        log.touch()
        broker = subprocess.Popen(list(map(str, [*command, "-l", log])))
        self.addCleanup(broker.wait)
        self.addCleanup(broker.kill)
        return broker, port, log

    def connect(self, broker, port, log):
        """Connects as a node does, once the broker is there."""
        until = time.monotonic() + WAIT_S
        while True:
            self.assertIsNone(broker.poll(), "the broker ended by itself")
            self.assertLess(time.monotonic(), until, log.read_text())
            try:
                clear = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        while b"\n" not in clear.recv(4096):
            pass
        tls = ssl._create_unverified_context()
        client = tls.wrap_socket(clear, server_hostname="a.example")
        lines = client.makefile("rwb")
        about = {"verbose": False, "protocol": 1, "lang": "test", "user": "vagn", "pass": "CHANGE-ME-1"}
        lines.write(f"CONNECT {json.dumps(about)}\r\nPING\r\n".encode())
        lines.flush()
        self.addCleanup(client.close)
        self.addCleanup(lines.close)
        for line in lines:
            if line.startswith(b"PONG"):
                return lines
            self.assertFalse(line.startswith(b"-ERR"), line)
        self.fail(log.read_text())

    def test_a_broker_that_is_stopped_tells_its_clients_before_it_ends(self):
        (unit,) = blocks("ini")
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str
        parser.read_string(unit)
        service = parser["Service"]
        signals = {service["KillSignal"]}
        longest = re.search(r'lame_duck_duration: "(\d+)s"', (HERE / "broker.conf").read_text())[1]
        self.assertGreater(int(service["TimeoutStopSec"]), int(longest))
        for name, each in json.loads(Path(os.environ["COMPOSE"]).read_text())["services"].items():
            if name.startswith("broker-"):
                signals.add(each.get("stop_signal", "SIGTERM"))
                self.assertEqual(each["stop_grace_period"], f"{service['TimeoutStopSec']}s")
        self.assertEqual(len(signals), 1, signals)

        broker, port, log = self.run_broker()
        lines = self.connect(broker, port, log)
        broker.send_signal(getattr(signal, signals.pop()))
        told = any(line.startswith(b"INFO ") and json.loads(line[5:]).get("ldm") for line in lines)
        self.assertTrue(told, log.read_text())
        self.assertIn("Entering lame duck mode", log.read_text())


if __name__ == "__main__":
    unittest.main()
