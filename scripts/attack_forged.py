"""The attack `forged`: a fleet that seals all it sends, under a flood of what is not to be believed."""

import json
import random
import subprocess
import sys
import threading
import time

from attack_scene import CALLS_PER_S, FLEET, MEANS, Scene, begin_attacker, short
from bench_section import aim
from sealing import CALL, ORDINARY, Key, import_keys, in_stream, write_key_file
from service import address, message, said

# Sealed reports a second while `forged` goes on, and how many times as many datagrams the flood has at least.
STREAM_PER_S, FLOOD_TIMES = 2_000, 20
SEALED_CALL_WITHIN_MS = 50
# Times that each recorded datagram is in the flood: with it a fifth of all are replays, which cost the service most.
REPLAYS = 6


class Forged(Scene):
    """A fleet that seals all it sends, under a flood of what is not to be believed."""

    # Where the flood says that vehicles are. All others are elsewhere.
    FALSE_LAT = 61.0

    def __init__(self, *parts):
        super().__init__(*parts)
        self.call_within_ms = SEALED_CALL_WITHIN_MS
        self.fleet = [Key(f"fleet {number}") for number in range(FLEET)]
        self.keys = {vehicle: Key(vehicle) for vehicle in self.callers()}
        self.taken = {f"taken {number}": Key(f"taken {number}") for number in range(32)}
        self.revoked = Key("revoked")
        self.base, self.invented, self.incidents_of_taken, self.said = 0, set(), {}, []

    def settings(self, target):
        import_keys(self.data, [*self.fleet, *self.keys.values(), *self.taken.values(), self.revoked], self.folder / "keys.csv")
        said("device", "revoke", self.revoked.vehicle_id, "--data-dir", self.data)
        return f'[auth]\ndevices = "required"\n{super().settings(target)}'

    def populate(self):
        known = write_key_file(self.folder / "known.keys", [*self.keys.values(), *self.taken.values()])
        self.fleet_file = write_key_file(self.folder / "fleet.keys", self.fleet)
        for file, keys in ((self.fleet_file, FLEET), (known, len(self.keys) + len(self.taken))):
            said("simulate", "--target", self.at["udp"], "--rate", "20000", "--count", str(keys), "--vehicles", str(keys), "--key-file", file)

    def begin_attack(self):
        # Above all that was sent under these keys.
        self.base = time.time_ns() // 1_000_000 + 10_000
        self.first = {vehicle: self.seal(vehicle, number + 1, 0) for number, vehicle in enumerate(self.keys)}
        originals = self.send_originals()
        self.programs.run("simulate", "--target", self.at["udp"], "--rate", str(STREAM_PER_S), "--vehicles", str(FLEET),
                          "--key-file", self.fleet_file)
        self.stream = self.programs.processes[-1]
        flood = self.folder / "flood"
        flood.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in self.flood(originals)))
        self.attacker = subprocess.Popen([sys.executable, MEANS, *self.means()], stdin=flood.open("rb"), stdout=subprocess.PIPE,
                                         text=True, preexec_fn=begin_attacker)
        threading.Thread(target=self.listen, daemon=True).start()
        time.sleep(3)

    def listen(self):
        for line in self.attacker.stdout:
            self.said.append((time.monotonic(), *map(int, line.split())))

    def end_attack(self):
        super().end_attack()
        self.stream.terminate()
        # The flood is over, and its last datagrams are judged.
        time.sleep(1)
        self.places = {vehicle: self.latitude(vehicle) for vehicle in [*self.taken, *self.sent][:64]}

    def send_originals(self):
        """A report and a call of some vehicles, once: what is recorded and sent again."""
        originals = []
        for vehicle, key in self.taken.items():
            report = key.seal(self.base, message(vehicle, 10, 10), ORDINARY)
            originals += [report, key.seal(self.base + 1, message(vehicle, 10, 10, 1, emergency=True), CALL)]
        for each in originals:
            self.udp.sendto(each, address(self.at["udp"]))
            time.sleep(0.005)
        until = time.monotonic() + 20
        while len(self.incidents_of_taken) < len(self.taken):
            if time.monotonic() > until:
                raise SystemExit("attacks: the calls that are to be recorded were not made")
            time.sleep(0.1)
        return originals

    def flood(self, originals):
        """Datagrams of all kinds, half of them with the lane of a call."""
        chance, datagrams = random.Random(7), originals * REPLAYS
        keys, lanes = list(self.keys.values()), (ORDINARY, CALL)
        for number in range(512):
            vehicle, lane = keys[number % len(keys)], lanes[number % 2]
            false = message(vehicle.vehicle_id, self.FALSE_LAT, 10, number, emergency=lane == CALL)
            head = lambda key_id: b"\xc1\x10" + key_id + (self.base + 60_000 + number).to_bytes(8, "big")
            datagrams.append(head(vehicle.key_id) + chance.randbytes(len(false) + 16) + lane)
            datagrams.append(head(chance.randbytes(8)) + chance.randbytes(len(false) + 16) + lane)
            if number % 4 < 2:
                datagrams.append(self.revoked.seal(self.base + number, false, lane))
                thief = self.taken[f"taken {number % len(self.taken)}"]
                datagrams.append(thief.seal(self.base + 100 + number, false, lane))
                datagrams.append(false)
        chance.shuffle(datagrams)
        return datagrams

    def seal(self, vehicle, seq, attempt):
        return self.keys[vehicle].seal(self.base + attempt, message(vehicle, 10, 10, seq, emergency=True), CALL)

    def alarm(self, vehicle, seq, attempt):
        # The first one was sealed before: sealing takes this program a millisecond and more.
        return self.seal(vehicle, seq, attempt) if attempt else self.first[vehicle]

    def call_tcp(self, vehicle, seq):
        self.tcp.sendall(in_stream(self.alarm(vehicle, seq, 0)))

    def body(self, vehicle, seq):
        return "application/msgpack", in_stream(self.alarm(vehicle, seq, 0))

    def take(self, line):
        super().take(line)
        call = json.loads(line).get("call") or {}
        vehicle = call.get("vehicle_id", "")
        if vehicle in self.taken:
            self.incidents_of_taken.setdefault(vehicle, set()).add(call["incident_id"])
        elif vehicle and vehicle not in self.sent:
            self.invented.add(vehicle)

    def latitude(self, vehicle):
        connection = self.connect_https()
        connection.request("GET", "/api/v1/vehicles/" + vehicle.replace(" ", "%20"))
        return json.loads(connection.getresponse().read())["geometry"]["coordinates"][1]

    def aims(self, moved):
        (begun, before, _), (ended, after, answered) = self.said[0], self.said[-1]
        rate = (after - before) / (ended - begun)
        least = FLOOD_TIMES * (STREAM_PER_S + CALLS_PER_S)
        twice = [vehicle for vehicle, incidents in self.incidents_of_taken.items() if len(incidents) > 1]
        false = [*self.invented, *twice, *(vehicle for vehicle, lat in self.places.items() if abs(lat - self.FALSE_LAT) < 1)]
        repeated = sum(self.called[vehicle] - at > 0.25 for vehicle, at in self.sent.items() if vehicle in self.called)
        aims = [aim(f"{self.name}: counted as {short(name)}", "more than 0", f"{value:.0f}", value > 0) for name, value in moved.items()]
        return [
            *aims,
            aim(f"{self.name}: datagrams of the flood a second", f"≥ {least}", f"{rate:.0f}", rate >= least),
            aim(f"{self.name}: answers to the flood", "0", str(answered), answered == 0),
            aim(f"{self.name}: vehicles that it moved or called for", "none", ", ".join(false[:3]) or "none", not false),
            aim(f"{self.name}: calls that needed a second attempt", "0", str(repeated), repeated == 0),
        ]
