"""The scene of an attack: a service, its target, known vehicles that call, and what is watched meanwhile."""

import http.client
import itertools
import json
import os
import queue
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import alerts
from bench_section import aim
from service import address, descriptors, message, resident_mb, trusting

MEANS = Path(__file__).with_name("attack_means.py")
CALLS_PER_S = 20
FLEET = 20_000
CALL_WITHIN_MS = 100

# What may be held 90 s after an attack beyond what was held before: what the allocator keeps for the next time, and each vehicle that came.
# A million vehicles take 141 bytes each (docs/BENCHMARKS.md).
LEFT_MB, VEHICLE_BYTES = 150, 160

# Connections to the target that are kept for the next call.
KEPT = 64

# The service has a core of its own, as in all measurements. Attackers come after callers and target on the other one: they stand for machines
# elsewhere.
SERVICE_CORE, OTHER_CORE, ATTACKER_NICE = {0}, {1}, 10

REASONS = ("no_seal", "unknown_key", "revoked", "bad_tag", "wrong_vehicle")

# From so many seconds on an attack goes on until its alert has fired, for at most so many since it began: some alerts wait for a minute.
ALERT_FROM_S, ALERT_WITHIN_S = 60, 100

# Name, and what is done. Then the metrics one of which must move (under `forged` all), and the alert that must fire.
ATTACKS = {
    "idle": ("connections on which nothing is asked, to every port", ("connections_refused_total",), "VagnPortFull"),
    "unread": ("large answers that nobody takes", ("http_answers_refused_total", "http_answers_cut_total"), "VagnAnswersRefused"),
    "stuck": ("connections that take nothing of an answer, beside slow downloads", ('http_unsent_refused_total{reason="full"}',), "VagnAnswersNotTaken"),
    "strangers": ("calls of invented vehicles, as fast as they can be sent", ("emergencies_total",), "VagnEmergencySourceRefused"),
    "talker": ("a target that says `100 Continue` without an end", ("emergency_attempts_total",), "VagnEmergencyTargetDown"),
    "bodies": ("bodies of which half is sent", ("http_bodies_refused_total",), "VagnBodiesRefused"),
    "halves": ("half a request on more connections than there are places, and one report each of strangers over TCP", ("connections_refused_total",), "VagnPortFull"),
    "full": ("more connections than `http.max_connections`", ("connections_refused_total",), "VagnPortFull"),
    "forged": ("envelopes that are forged, replayed, of unknown and revoked keys and of wrong vehicles, and calls without a seal",
               (*(f'reports_unauthenticated_total{{reason="{reason}"}}' for reason in REASONS), "seal_replays_total"), "VagnReportsUnproven"),
}


def begin_attacker():
    os.nice(ATTACKER_NICE)


class Scene:
    """A service under one attack, its target, and the vehicles that call."""

    def __init__(self, name, asked, folder, programs):
        self.name, self.asked, self.folder, self.programs = name, asked, folder, programs
        self.data, self.call_within_ms = folder / "data", CALL_WITHIN_MS
        self.sent, self.called, self.way, self.troubles, self.samples = {}, {}, {}, [], []
        self.pages, self.alert, self.alert_from_s = [], ATTACKS[name][2], ALERT_FROM_S
        self.done = threading.Event()

    def run(self):
        self.start()
        before = self.look()
        metrics = self.metrics()
        # Before the attack: an increase is one over what was there.
        watcher = threading.Thread(target=self.watch, daemon=True)
        watcher.start()
        try:
            time.sleep(2)
            self.begin_attack()
            self.call_for(self.asked.seconds)
            self.wait_for_calls()
            alert = self.judge_alert()
            moved = self.moved(metrics)
            self.done.set()
            watcher.join()
        finally:
            # An attacker that outlived a failed run would burn a core for hours.
            self.end_attack()
        after, left_mb = self.come_back(before, metrics)
        return self.outcome(before, after, moved, alert, left_mb)

    def start(self):
        sink = self.programs.run("sink", "--listen", "127.0.0.1:0", "--json", wait=r'"listening":"([^"]+)"', each=self.take)[1]
        settings = self.folder / "vagn.toml"
        settings.write_text(self.settings(f"http://{sink}/calls"))
        arguments = ["--config", settings, "--data-dir", self.data, "--log-level", "error"]
        # The vehicles are known because they were there before a start without a census.
        server, self.at = self.programs.serve(*arguments)
        self.populate()
        time.sleep(2)
        server.terminate()
        server.wait(15)
        shutil.rmtree(self.data / "census", ignore_errors=True)
        self.server, self.at = self.programs.serve(*arguments, preexec_fn=self.limit)
        self.ways = itertools.cycle([self.call_udp, self.call_tcp, self.call_https])
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.settimeout(0.25)
        self.tcp = trusting().wrap_socket(socket.create_connection(address(self.at["tcp"]), 10))
        # Each of them is used by one call at a time: callers do not share one.
        self.https = queue.SimpleQueue()
        self.https.put(self.connect_https())

    def callers(self):
        return [f"known {number}" for number in range(self.asked.seconds * CALLS_PER_S + CALLS_PER_S)]

    def populate(self):
        """Has all vehicles of the fleet, and those that will call, report once."""
        self.programs.run("simulate", "--target", self.at["udp"], "--vehicles", str(FLEET), "--rate", "20000", "--count", str(FLEET))
        for vehicle in self.callers():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(message(vehicle, 10, 10), address(self.at["udp"]))
            time.sleep(0.0005)

    def settings(self, target):
        nasty = ""
        if self.name == "talker":
            self.nasty = subprocess.Popen([sys.executable, MEANS, "talker"], stdout=subprocess.PIPE, text=True, preexec_fn=begin_attacker)
            at = self.nasty.stdout.readline().split()[1]
            nasty = f'[[emergency.targets]]\nname = "talker"\nurl = "http://{at}/"\n'
        most = "[http]\nmax_connections = 64\n" if self.name in ("full", "halves") else ""
        most += "[tcp]\nmax_connections = 64\n" if self.name == "halves" else ""
        return f'{most}[emergency]\nurl = "{target}"\nescalate_after = "1s"\n{nasty}'

    def limit(self):
        os.sched_setaffinity(0, SERVICE_CORE)
        if self.asked.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.asked.descriptors, self.asked.descriptors))
        if self.asked.memory:
            resource.setrlimit(resource.RLIMIT_AS, (self.asked.memory, self.asked.memory))

    def begin_attack(self):
        if self.name == "strangers":
            self.programs.run("simulate", "--target", self.at["udp"], "--vehicles", "5000000", "--rate", "max",
                              "--emergency-ratio", "1", "--seed", "77", preexec_fn=begin_attacker)
            self.attacker = self.programs.processes[-1]
        elif self.name == "talker":
            self.attacker = self.nasty
        else:
            self.attacker = subprocess.Popen([sys.executable, MEANS, *self.means()], preexec_fn=begin_attacker)
        time.sleep(3)

    def means(self):
        """The means of this attack, and what it is given."""
        return ["idle" if self.name == "full" else self.name, *(f"{name}={at}" for name, at in self.at.items())]

    def end_attack(self):
        self.attacker.kill()
        self.attacker.wait()

    def call_for(self, seconds):
        begun = time.monotonic()
        for number in range(seconds * CALLS_PER_S):
            vehicle = f"known {number}"
            way = next(self.ways)
            self.sent[vehicle], self.way[vehicle] = time.monotonic(), way.__name__.removeprefix("call_")
            threading.Thread(target=self.call, args=(way, vehicle, number + 1), daemon=True).start()
            time.sleep(max(0, begun + (number + 1) / CALLS_PER_S - time.monotonic()))

    def call(self, way, vehicle, seq):
        try:
            way(vehicle, seq)
        except (OSError, http.client.HTTPException) as err:
            self.troubles.append(f"{way.__name__}: {err}")

    def call_udp(self, vehicle, seq):
        for attempt in range(40):
            if vehicle in self.called:
                return
            self.udp.sendto(self.alarm(vehicle, seq, attempt), address(self.at["udp"]))
            time.sleep(0.25)

    def alarm(self, vehicle, seq, _):
        """The datagram of a call."""
        return message(vehicle, 10, 10, seq, emergency=True)

    def call_tcp(self, vehicle, seq):
        self.tcp.sendall(message(vehicle, 10, 10, seq, emergency=True))

    def call_https(self, vehicle, seq):
        try:
            connection = self.https.get_nowait()
        except queue.Empty:
            connection = self.connect_https()
        kind, body = self.body(vehicle, seq)
        connection.request("POST", "/api/v1/positions", body, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(f"answered with {answer.status}")
        self.https.put(connection)

    def body(self, vehicle, seq):
        return "application/json", json.dumps([{"ID": vehicle, "Lat": 10, "Lon": 10, "Seq": seq, "Emergency": True}])

    def connect_https(self):
        connection = http.client.HTTPSConnection(*address(self.at["http"]), timeout=20, context=trusting())
        connection.connect()
        return connection

    def take(self, line):
        vehicle = (json.loads(line).get("call") or {}).get("vehicle_id", "")
        if vehicle.startswith("known "):
            self.called.setdefault(vehicle, time.monotonic())

    def wait_for_calls(self):
        until = time.monotonic() + 20
        while set(self.sent) - set(self.called) and time.monotonic() < until:
            time.sleep(0.1)

    def judge_alert(self):
        """How far the alert has come: `fired`, `pending` or `silent`. A full minute of attack goes on until it has fired."""
        until = self.pages_begun + ALERT_WITHIN_S if self.asked.seconds >= self.alert_from_s else 0
        while (came := alerts.judge(self.alert, list(self.pages))) != "fired" and time.monotonic() < until:
            time.sleep(2)
        return came

    def watch(self):
        begun = self.pages_begun = time.monotonic()
        while not self.done.is_set():
            at = time.monotonic() - begun
            self.samples.append((at, *self.look()))
            self.try_page("readyz")
            self.pages.append((at, self.try_page("metrics")))
            self.done.wait(1)

    def try_page(self, name):
        try:
            return self.page(name)
        except urllib.error.HTTPError:
            pass  # "not ready" is an answer
        except OSError as err:
            self.troubles.append(f"{name}: {err}")
        return None

    def look(self):
        if self.server.poll() is not None:
            raise SystemExit(f"attacks: the service ended with {self.server.returncode}")
        return resident_mb(self.server.pid), descriptors(self.server.pid)

    def page(self, name):
        return urllib.request.urlopen(f"http://{self.at['ops']}/{name}", timeout=5).read().decode()

    def metrics(self):
        """Values by name with labels, and sums by name alone."""
        found = re.findall(r"^vagn_(\w+)(\{.*\})? (\S+)$", self.page("metrics"), re.MULTILINE)
        values = {name + labels: float(value) for name, labels, value in found if labels}
        for name, _, value in found:
            values[name] = values.get(name, 0) + float(value)
        return values

    def moved(self, before):
        after = self.metrics()
        return {name: after.get(name, 0) - before.get(name, 0) for name in ATTACKS[self.name][1]}

    def come_back(self, before, metrics):
        """What is held when the attack is over, and the most memory that may be: vehicles that came stay, invented ones as well."""
        until = time.monotonic() + 90
        while True:
            memory, open_files = self.look()
            vehicles = self.metrics().get("vehicles", 0) - metrics.get("vehicles", 0)
            left_mb = before[0] + LEFT_MB + max(0, vehicles) * VEHICLE_BYTES / 1e6
            if open_files <= before[1] + KEPT and memory <= left_mb or time.monotonic() > until:
                return (memory, open_files), left_mb
            time.sleep(1)

    def outcome(self, before, after, moved, alert, left_mb):
        delays = {vehicle: 1_000 * (self.called[vehicle] - at) for vehicle, at in self.sent.items() if vehicle in self.called}
        by_way = {way: [delay for vehicle, delay in delays.items() if self.way[vehicle] == way] for way in sorted(set(self.way.values()))}
        first = min(self.sent.values())
        return {
            "name": self.name, "sent": len(self.sent), "called": len(delays), "p99": share(delays.values(), 0.99),
            "within": self.call_within_ms, "aims": self.aims(moved),
            "ways": ", ".join(f"{way} {share(each, 0.5):.0f} / {share(each, 0.99):.0f}" for way, each in by_way.items()),
            "memory": max(sample[1] for sample in self.samples), "left_mb": left_mb, "before": before, "after": after, "moved": moved, "alert": alert,
            "samples": self.samples, "troubles": self.troubles,
            "delays": [(round(self.sent[vehicle] - first, 1), max(0.1, round(delay, 1))) for vehicle, delay in delays.items()],
        }

    def aims(self, moved):
        """What must hold under this attack, beside what must hold under all."""
        return [aim(f"{self.name}: counted", "more than 0", str(round(sum(moved.values()))), sum(moved.values()) > 0)]


def short(name):
    """The label of a metric where it has one, else its name."""
    return re.sub(r'.*="(\w+)"}', r"\1", name)


def share(values, part):
    """The value that this part of all does not exceed."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")
