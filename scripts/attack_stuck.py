"""The attack `stuck`: more connections than the account of output has room for, and two honest clients that read slowly."""

import http.client
import json
import threading
import time
from pathlib import Path

from attack_means import WORLD, secure
from attack_scene import KEPT, Scene
from bench_section import aim
from service import address

# As many vehicles as the slow clients ask for, and about how many bytes that is.
WORLD_VEHICLES, WORLD_BYTES = 10_000, 2_700_000
# The slow clients are at addresses of their own.
SLOW_SOURCES = ("127.0.2.1", "127.0.2.2")
# What the slow ones take at least: twice what a client has to take, so that a run of some minutes does not make them too slow.
SLOW_BYTES_S = 16 << 10
# Connections of the crowd, two thirds of which fill the account. All their answers have room, or the slow clients would be refused.
CROWD = 1_500
# The same for a service with fewer descriptors than this, which has no places for so many, and gets less memory for answers: nearly all of them fill its account.
FEW_DESCRIPTORS, CROWD_OF_FEW, ANSWERS_OF_FEW = 4_096, 295, 50 << 20
# The account is full within so many seconds.
FULL_WITHIN_S = 40
# State of a socket that was closed here, and that the kernel keeps since its peer has not taken all (`include/net/tcp_states.h`).
FIN_WAIT_1 = "04"


class Stuck(Scene):
    """Connections that ask for an answer and take nothing of it, and clients that take all of theirs, but slowly."""

    def __init__(self, *parts):
        super().__init__(*parts)
        # What is not taken is ended after half a minute, and not before.
        self.alert_from_s = 0
        self.is_small = bool(self.asked.descriptors) and self.asked.descriptors < FEW_DESCRIPTORS
        self.crowd = CROWD_OF_FEW if self.is_small else CROWD
        self.downloads, self.left_behind = [], [0]

    def settings(self, target):
        return (f"[http]\nmax_answer_bytes = {ANSWERS_OF_FEW}\n" if self.is_small else "") + super().settings(target)

    def means(self):
        return [*super().means(), f"crowd={self.crowd}"]

    def begin_attack(self):
        self.download(SLOW_SOURCES[0])
        super().begin_attack()
        threading.Thread(target=self.count_left_behind, daemon=True).start()
        until = time.monotonic() + FULL_WITHIN_S
        while not self.moved_since_start() and time.monotonic() < until:
            time.sleep(0.5)
        # This one finds no memory for output from its first byte on.
        self.download(SLOW_SOURCES[1])

    def moved_since_start(self):
        return sum(self.moved({}).values()) > 0

    def download(self, source):
        self.downloads.append(Download(address(self.at["http"]), source, self.asked.seconds))

    def count_left_behind(self):
        port = address(self.at["http"])[1]
        while not self.done.wait(1):
            self.left_behind.append(closed_and_kept(Path("/proc/net/tcp").read_text(), port))

    def wait_for_calls(self):
        super().wait_for_calls()
        for each in self.downloads:
            each.join()

    def aims(self, moved):
        whole = [each.failure for each in self.downloads if each.failure]
        least = self.crowd * 2 // 3
        most = most_connections(self.pages)
        unsent = self.metrics()["http_unsent_bytes"]
        return [
            *super().aims(moved),
            aim(f"{self.name}: connections at a time", f"≥ {least}", str(most), most >= least),
            aim(f"{self.name}: slow downloads that ended whole", str(len(SLOW_SOURCES)), "; ".join(whole) or str(len(self.downloads)),
                len(self.downloads) == len(SLOW_SOURCES) and not whole),
            aim(f"{self.name}: connections that were ended and the kernel keeps", f"≤ {KEPT}", str(max(self.left_behind)),
                max(self.left_behind) <= KEPT),
            aim(f"{self.name}: memory for output comes back", "0", f"{unsent:.0f} bytes", unsent == 0),
        ]


class Download(threading.Thread):
    """An honest client with a slow line: takes the fleet over about as many seconds as the attack lasts."""

    def __init__(self, at, source, seconds):
        super().__init__(daemon=True)
        self.at, self.source, self.seconds = at, source, seconds
        self.failure = "it did not end"
        self.start()

    def run(self):
        try:
            self.failure = self.failure_of(self.take())
        except (OSError, http.client.HTTPException, ValueError) as err:
            self.failure = f"from {self.source}: {err or type(err).__name__}"

    def take(self):
        connection = http.client.HTTPSConnection(*self.at)
        connection.sock = secure(self.at, self.source, window=32 << 10)
        connection.request("GET", WORLD)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"answered with {answer.status}")
        a_second = max(SLOW_BYTES_S, WORLD_BYTES // self.seconds)
        begun, taken = time.monotonic(), b""
        while piece := answer.read(a_second // 4):
            taken += piece
            time.sleep(max(0, begun + len(taken) / a_second - time.monotonic()))
        return taken

    def failure_of(self, taken):
        """Why what was taken is not the whole answer; nothing if it is."""
        vehicles = len(json.loads(taken)["features"])
        return "" if vehicles == WORLD_VEHICLES else f"{vehicles} vehicles came to {self.source}"


def closed_and_kept(sockets, port):
    """Connections to a port that were closed here, and of which the kernel keeps what the peer does not take; of `/proc/net/tcp`."""
    fields = (line.split() for line in sockets.splitlines()[1:])
    return sum(each[3] == FIN_WAIT_1 and int(each[1].rpartition(":")[2], 16) == port for each in fields)


def most_connections(pages):
    """The most connections to HTTPS that the pages of metrics tell of."""
    label = 'vagn_port_connections{port="http"} '
    lines = (line for _, page in pages for line in (page or "").splitlines())
    return max((int(float(line.removeprefix(label))) for line in lines if line.startswith(label)), default=0)
