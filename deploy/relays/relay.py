"""The common part of the relays: takes Vagn's emergency notices, and passes each one on once.

A relay is an emergency target of Vagn. It answers 2xx only when the other side has accepted the message, so Vagn goes on
sending the notice, and escalates, until a person is reached. A temporary fault is answered 503: a 4xx would make the
notice a dead letter. Python 3.9 or later, with its standard library alone.
"""

import argparse
import base64
import binascii
import collections
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import signal
import sys
import threading
import time

from server import RETRY_AFTER_S, Answer, Server, whole_number
from words import alert_message, call_message, trial_message

PREFIX = "VAGN_RELAY_"
CLOCK_SKEW_MAX_S = 300  # as Standard Webhooks recommends: an older notice may be a copy
CLOCK_RETRY_S = 30  # a clock is not corrected within seconds
KEYS_MAX = 100_000  # of notices that were passed on; about 10 MB

COMMON = {
    "LISTEN": ("", "where Vagn reaches this relay, as host:port"),
    "SECRET": ("", "the target's secret in Vagn's settings (whsec_...); without one, signatures are not checked"),
    "ALERT_TOKEN": ("", "bearer token that Alertmanager shows at /alerts; without one, /alerts works on loopback only"),
    "TIMEOUT": ("8", "seconds to wait for each answer of the other side; less than Vagn's emergency.timeout"),
    "UPDATES": ("60", "pass on a new position of an incident at most this often, in seconds; 0: never"),
    "VAGN_URL": ("", "where people reach Vagn's API, such as https://vagn.example:9090; empty: no links"),
    "MAP_URL": (
        "https://www.openstreetmap.org/?mlat={lat}&mlon={lon}#map=16/{lat}/{lon}",
        "a map that shows {lat} and {lon}; empty: none",
    ),
}

log = logging.getLogger("relay")


class NotAccepted(Exception):
    """The other side did not take the message. Has the reason, and the seconds until the next try."""

    def __init__(self, why, retry_after_s=RETRY_AFTER_S):
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Settings:
    """VAGN_RELAY_* of the environment. VAGN_RELAY_X_FILE names a file that holds X, such as a systemd credential."""

    def __init__(self, known, environment):
        self.values = {name: self.read(name, default, environment) for name, (default, _) in known.items()}

    @staticmethod
    def read(name, default, environment):
        path = environment.get(f"{PREFIX}{name}_FILE")
        if path:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        return environment.get(PREFIX + name, default)

    def __getitem__(self, name):
        return self.values[name]

    def seconds(self, name, least=0.0):
        """Reads the setting as a number of seconds, not less than `least`."""
        try:
            number = float(self[name])
        except ValueError:
            number = -1.0
        if not least <= number < 1e6:
            raise ValueError(f"{PREFIX}{name} is not a number of seconds: {self[name]}")
        return number

    def needed(self, name):
        """Reads the setting, which must not be empty."""
        if not self[name]:
            raise ValueError(f"{PREFIX}{name} is not set")
        return self[name]

    def address(self):
        """Host and port to listen at."""
        host, _, port = self.needed("LISTEN").rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{PREFIX}LISTEN is not host:port: {self['LISTEN']}")
        return host.strip("[]") or "::", int(port)


class Signature:
    """Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`."""

    def __init__(self, secret):
        try:
            self.key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise ValueError(f"{PREFIX}SECRET is not base64: {error}") from error
        if not 24 <= len(self.key) <= 64:
            raise ValueError(f"{PREFIX}SECRET has {len(self.key)} bytes; Vagn's have 24 to 64")

    def is_right(self, headers, body):
        """Returns true when the sender of this body knows the secret, at any time."""
        key, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        signed = f"{key}.{stamp}.".encode("utf-8", "replace") + body
        expected = base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest())
        offered = headers.get("webhook-signature", "").encode("utf-8", "replace").split()
        return any(hmac.compare_digest(b"v1," + expected, one) for one in offered)

    @staticmethod
    def off_s(headers, now_s):
        """Seconds that the sender's clock differs, or that its notice is old; None when it names no time."""
        sent_s = whole_number(headers.get("webhook-timestamp", ""))
        return None if sent_s is None else abs(now_s - sent_s)


class Memory:
    """Keys that were passed on, and keys that are being passed on. New keys replace the oldest."""

    def __init__(self, most=KEYS_MAX):
        self.most = most
        self.accepted = collections.OrderedDict()
        self.under_way = set()
        self.lock = threading.Lock()

    def begin(self, key):
        """`new`: pass it on, then call `end`. `accepted`: it was passed on. `under way`: another thread passes it on."""
        with self.lock:
            if key in self.accepted:
                return "accepted"
            if key in self.under_way:
                return "under way"
            self.under_way.add(key)
            return "new"

    def end(self, key, accepted):
        """Records that it was passed on, or not."""
        with self.lock:
            self.under_way.discard(key)
            if accepted:
                self.accepted[key] = None
            while len(self.accepted) > self.most:
                self.accepted.popitem(last=False)


class Pace:
    """Times at which each incident's position was last passed on."""

    def __init__(self, every_s, clock, most=KEYS_MAX):
        self.every_s, self.clock, self.most = every_s, clock, most
        self.last = collections.OrderedDict()
        self.lock = threading.Lock()

    def is_due(self, incident):
        """Returns true when a new position may be passed on now."""
        with self.lock:
            last = self.last.get(incident)
        return self.every_s > 0 and (last is None or self.clock() - last >= self.every_s)

    def passed(self, incident):
        """Records that its position was passed on now, in any message."""
        with self.lock:
            self.last[incident] = self.clock()
            self.last.move_to_end(incident)
            while len(self.last) > self.most:
                self.last.popitem(last=False)


class Relay:
    """Handles requests. `push` passes a message on, or raises `NotAccepted`."""

    def __init__(self, settings, push, now=time.time, clock=time.monotonic):
        self.settings, self.push, self.now = settings, push, now
        self.signature = Signature(settings["SECRET"]) if settings["SECRET"] else None
        self.memory = Memory()
        self.pace = Pace(settings.seconds("UPDATES"), clock)

    def call(self, headers, body):
        """Handles a notice of Vagn's."""
        refusal = self.refusal(headers, body) if self.signature else None
        if refusal:
            return refusal
        # With a secret, the key that was signed; otherwise the key that any sender may write.
        key = headers.get("webhook-id" if self.signature else "idempotency-key", "")
        call = read_object(body)
        if not key or call is None:
            return Answer(400, "a call has an Idempotency-Key and a JSON object")
        message = call_message(call, key, self.settings)
        if message.is_mere_position and not self.pace.is_due(message.incident):
            return Answer(200, "not passed on: the incident's position was, a moment ago")
        answer = self.once(message)
        if answer.status == 200:
            self.pace.passed(message.incident)
        return answer

    def refusal(self, headers, body):
        """The answer to a notice with a wrong signature; None if the signature is right."""
        off_s = self.signature.off_s(headers, self.now())
        if off_s is None or not self.signature.is_right(headers, body):
            return Answer(401, "the signature is wrong or missing")
        if off_s <= CLOCK_SKEW_MAX_S:
            return None
        # It may be a copy, so it is not passed on. It may also be real, with a wrong clock: Vagn signs anew each time,
        # so it must go on trying.
        log.warning("not passed on: signed %.0f s from now: a copy, or a clock is wrong, here or at Vagn", off_s)
        return Answer(503, "the clocks differ, or the call is old", CLOCK_RETRY_S)

    def once(self, message):
        """Passes it on, unless it was passed on before."""
        known = self.memory.begin(message.key)
        if known == "accepted":
            return Answer(200, "was passed on before")
        if known == "under way":
            return Answer(503, "is being passed on", RETRY_AFTER_S)
        answer = Answer(503, "the relay failed", RETRY_AFTER_S)
        try:
            answer = self.attempt(message)
        finally:
            self.memory.end(message.key, answer.status == 200)
        return answer

    def attempt(self, message):
        try:
            self.push(message)
        except NotAccepted as error:
            log.warning("not passed on: %s: %s", message.log_name, error)
            return Answer(503, "not accepted by the other side", error.retry_after_s)
        log.info("passed on: %s", message.log_name)
        return Answer(200, "passed on")

    def alert(self, headers, body):
        """Handles a notification of Alertmanager's, which repeats it after a 5xx and gives it up after a 4xx."""
        if not self.may_alert(headers.get("authorization", "")):
            return Answer(401, "the bearer token is wrong or missing")
        alerts = read_object(body)
        if alerts is None:
            return Answer(400, "a notification is a JSON object")
        return self.attempt(alert_message(alerts))

    def may_alert(self, shown):
        token = self.settings["ALERT_TOKEN"]
        if not token:
            return is_loopback(self.settings.address()[0])
        return hmac.compare_digest(f"Bearer {token}".encode(), shown.encode("utf-8", "replace"))


def read_object(body):
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(description, known, make_push, arguments=None):
    """Runs a relay until it is told to stop: reads its settings, makes its `push`, listens."""
    known = {**COMMON, **known}
    arguments = teach(description, known).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        settings = Settings(known, os.environ)
        push = make_push(settings)
        if arguments.trial:
            return trial(push)
        host, port = settings.address()
        if not settings["SECRET"] and not is_loopback(host):
            raise ValueError(f"{PREFIX}SECRET is not set: anybody who reaches {host} could raise a false alarm")
        server = Server((host, port), Relay(settings, push))
    except (ValueError, OSError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 64
    return serve(server)


def teach(description, known):
    """The command line; its help lists every setting."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"""\
settings, from the environment (with _FILE at the end: from the file of that name):

{chr(10).join(explain(name, *known[name]) for name in known)}

Vagn calls http://HOST:PORT/calls, Alertmanager /alerts; /healthz answers as long as the relay runs.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--try", dest="trial", action="store_true", help="send one message, marked as a test, and end")
    return parser


def explain(name, default, what):
    lines = [f"{PREFIX}{name}", f"    {what}"] + ([f"    default: {default}"] if default else [])
    return "\n".join("  " + line for line in lines)


def trial(push):
    try:
        push(trial_message())
    except NotAccepted as error:
        print(f"not accepted: {error}", file=sys.stderr)
        return 1
    print("accepted; see whether it arrives")
    return 0


def serve(server):
    def stop(*_):
        threading.Thread(target=server.shutdown).start()  # in its own thread: it waits for the loop below, which this thread runs

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("listening at %s:%s", *server.server_address[:2])
    with server:
        server.serve_forever(poll_interval=0.2)
    return 0
