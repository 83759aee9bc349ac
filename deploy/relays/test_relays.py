"""Tests both relays over loopback, with a fake ntfy server and a fake SMTP relay behind them.

python3 -m unittest discover --start-directory deploy/relays
"""

import base64
import contextlib
import email
import email.policy
import hashlib
import hmac
import http.client
import http.server
import json
import logging
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import unittest

import email_relay
import ntfy_relay
import relay
import server

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ID = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
CALL = {
    "type": "incident.opened", "incident_id": ID, "vehicle_id": "bus 7", "test": False, "state": "open", "kind": "manual",
    "lat": 59.33, "lon": 18.06, "position_time": "2026-11-22T08:15:30.120Z", "position_trusted": True,
    "received_at": "2026-11-22T08:15:30.120Z", "attempt": 1, "age_s": 0.004, "target": "primary", "stale": False,
    "quiet": False, "escalation": 0, "recent_positions": [], "trail_head": None,
}
VAGN = {"VAGN_URL": "https://vagn.example:9090"}
logging.getLogger("relay").setLevel(logging.CRITICAL)


def running(one):
    """A server in its own thread, which is shut down at the end of the test."""
    threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return one


def at(one):
    return "127.0.0.1:%d" % one.server_address[1]


class FakeNtfy(http.server.ThreadingHTTPServer):
    """Keeps the published messages; answers with `status`."""

    def __init__(self):
        self.status, self.headers, self.body = 200, {}, b'{"id":"abc"}'
        self.published, self.authorizations = [], []
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()
        super().__init__(("127.0.0.1", 0), FakeNtfyHandler)


class FakeNtfyHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        publication = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.entered.release()
        self.server.gate.wait(10)
        if self.server.status == 200:
            self.server.published.append(publication)
            self.server.authorizations.append(self.headers["authorization"])
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_GET(self):  # where a redirect would lead
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


class FakeSmtp(socketserver.ThreadingTCPServer):
    """Accepts letters; `refuses` is a command that it refuses, or a part of an address."""

    def __init__(self):
        self.refuses, self.letters = None, []
        super().__init__(("127.0.0.1", 0), FakeSmtpHandler)


class FakeSmtpHandler(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 pretended")
        people = []
        for line in self.rfile:
            line = line.decode().strip()
            command = line[:8].upper()  # smtplib writes some of them small
            if self.server.refuses and self.server.refuses in command + line:
                self.say("451 not now")
            elif command.startswith("QUIT"):
                return self.say("221 bye")
            elif command.startswith("DATA"):
                self.say("354 go on")
                self.server.letters.append((people, self.letter()))
                self.say("250 taken over")
            else:
                people += [line[9:-1]] if command == "RCPT TO:" else []
                self.say("250 ok")
        return None

    def letter(self):
        lines = list(iter(self.rfile.readline, b".\r\n"))
        return email.message_from_bytes(b"".join(lines), policy=email.policy.default)

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


class Relayed(unittest.TestCase):
    """A relay with something behind it."""

    def ntfy(self, **settings):
        upstream = self.keep(FakeNtfy())
        settings = {"NTFY_URL": f"http://{at(upstream)}", "NTFY_TOPIC": "calls", **settings}
        return upstream, self.relay(ntfy_relay.SETTINGS, lambda known: ntfy_relay.Ntfy(known).push, settings)

    def mail(self, **settings):
        upstream = self.keep(FakeSmtp())
        settings = {
            "SMTP": at(upstream), "SMTP_TLS": "none", "FROM": "Vagn <vagn@example.org>",
            "TO": "duty@example.org, deputy@example.org", **settings,
        }
        return upstream, self.relay(email_relay.SETTINGS, lambda known: email_relay.Mail(known).push, settings)

    def relay(self, known, make_push, settings):
        environment = {relay.PREFIX + name: value for name, value in {"TIMEOUT": "5", **settings}.items()}
        settings = relay.Settings({**relay.COMMON, **known}, environment)
        self.now = 0.0
        decides = relay.Relay(settings, make_push(settings), clock=lambda: self.now)
        return self.keep(server.Server(("127.0.0.1", 0), decides))

    def keep(self, one):
        self.addCleanup(one.server_close)
        self.addCleanup(one.shutdown)
        return running(one)

    def post(self, to, body, headers=None, path="/calls"):
        """Sends a request; gives status, body and Retry-After of the answer."""
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        with contextlib.closing(http.client.HTTPConnection(at(to), timeout=10)) as connection:
            connection.request("POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}").get("said"), answer.headers.get("Retry-After")

    def call(self, to, key=ID, **changes):
        return self.post(to, {**CALL, **changes}, {"Idempotency-Key": key})

    def signed(self, to, secret=SECRET, at_s=None, body=None):
        stamp = str(int(time.time() if at_s is None else at_s))
        sent = json.dumps(CALL).encode()
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mac = hmac.new(key, f"{ID}.{stamp}.".encode() + sent, hashlib.sha256).digest()
        headers = {
            "webhook-id": ID, "webhook-timestamp": stamp,
            "webhook-signature": "v1a,nonsense v1," + base64.b64encode(mac).decode(),
        }
        return self.post(to, body or sent, headers)


class ARelay(Relayed):
    def test_passes_a_call_on_once_however_often_it_is_repeated(self):
        ntfy, relay_ = self.ntfy()
        self.assertEqual(self.call(relay_), (200, "passed on", None))
        self.assertEqual(self.call(relay_, attempt=2, age_s=3.5), (200, "was passed on before", None))
        self.assertEqual(self.call(relay_, key=f"{ID}-1", type="incident.escalated"), (200, "passed on", None))
        self.assertEqual(len(ntfy.published), 2)

    def test_asks_to_come_again_while_the_other_side_is_down_and_accepts_later(self):
        for status in (500, 401, 404, 301):
            ntfy, relay_ = self.ntfy()
            ntfy.status, ntfy.headers = status, {"Location": f"http://{at(ntfy)}/elsewhere"}
            self.assertEqual(self.call(relay_), (503, "not accepted by the other side", "2"), status)
            ntfy.status = 200
            self.assertEqual(self.call(relay_)[:2], (200, "passed on"))
            self.assertEqual(len(ntfy.published), 1)

    def test_comes_again_when_ntfy_says_but_not_much_later(self):
        ntfy, relay_ = self.ntfy()
        for said, heard in (("7", "7"), ("3600", "30"), ("Wed, 21 Oct 2026 07:28:00 GMT", "2")):
            ntfy.status, ntfy.headers = 429, {"Retry-After": said}
            self.assertEqual(self.call(relay_)[2], heard)

    def test_does_not_take_any_200_for_ntfy(self):
        for body in (b"<html>please log in</html>", b"{}", b"[]", b""):
            ntfy, relay_ = self.ntfy()
            ntfy.body = body
            self.assertEqual(self.call(relay_)[0], 503, body)

    def test_gives_up_waiting_for_the_other_side(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        url = "http://127.0.0.1:%d" % silent.getsockname()[1]
        _, relay_ = self.ntfy(NTFY_URL=url, TIMEOUT="0.1")
        self.assertEqual(self.call(relay_)[0], 503)
        _, relay_ = self.mail(SMTP=url.removeprefix("http://"), TIMEOUT="0.1")
        self.assertEqual(self.call(relay_)[0], 503)

    def test_does_not_push_twice_when_a_repeat_comes_meanwhile(self):
        ntfy, relay_ = self.ntfy()
        ntfy.gate.clear()
        first = []
        thread = threading.Thread(target=lambda: first.append(self.call(relay_)))
        thread.start()
        self.assertTrue(ntfy.entered.acquire(timeout=10))
        self.assertEqual(self.call(relay_, attempt=2), (503, "is being passed on", "2"))
        ntfy.gate.set()
        thread.join()
        self.assertEqual(first, [(200, "passed on", None)])
        self.assertEqual(self.call(relay_, attempt=3), (200, "was passed on before", None))
        self.assertEqual(len(ntfy.published), 1)

    def test_believes_only_who_knows_the_secret(self):
        ntfy, relay_ = self.ntfy(SECRET=SECRET)
        other = "whsec_" + base64.b64encode(bytes(32)).decode()
        self.assertEqual(self.call(relay_)[0], 401)
        self.assertEqual(self.signed(relay_, secret=other)[0], 401)
        self.assertEqual(self.signed(relay_, secret=other, at_s=time.time() - 301)[0], 401)
        self.assertEqual(self.signed(relay_, body=b'{"vehicle_id":"another"}')[0], 401)
        for header in ("webhook-timestamp", "webhook-signature"):
            for value in ("", "\u00b2", "v1,\u00e9", "-1", "9" * 5_000):
                self.assertEqual(self.post(relay_, CALL, {"webhook-id": ID, header: value.encode()})[0], 401)
        self.assertEqual(ntfy.published, [])
        self.assertEqual(self.signed(relay_)[:2], (200, "passed on"))
        self.assertEqual(self.signed(relay_)[:2], (200, "was passed on before"))

    def test_a_clock_that_is_wrong_makes_no_dead_letter(self):
        ntfy, relay_ = self.ntfy(SECRET=SECRET)
        for off_s in (-400, 400):
            answer = self.signed(relay_, at_s=time.time() + off_s)
            self.assertEqual(answer, (503, "the clocks differ, or the call is old", "30"), off_s)
        self.assertEqual(len(ntfy.published), 0)
        self.assertEqual(self.signed(relay_, at_s=time.time() - 200)[0], 200)

    def test_the_shared_example_of_standard_webhooks_verifies(self):
        signature = relay.Signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        self.assertTrue(signature.is_right(headers, b'{"test": 2432232314}'))
        self.assertFalse(signature.is_right(headers, b'{"test": 2432232315}'))

    def test_turns_down_what_is_no_call(self):
        ntfy, relay_ = self.ntfy()
        big = b"x" * (server.BODY_MAX + 1)
        self.assertEqual(self.post(relay_, big, {"Idempotency-Key": ID})[0], 413)
        for body in (b"", b"nonsense", b"[1]", b"[" * 100_000, b"\xff"):
            self.assertEqual(self.post(relay_, body, {"Idempotency-Key": ID})[0], 400, body[:9])
        self.assertEqual(self.post(relay_, CALL)[0], 400)
        self.assertEqual(self.post(relay_, CALL, {"Idempotency-Key": ID}, path="/")[0], 404)
        for length, status in (("9" * 5_000, 411), ("9" * 15, 413), ("-1", 411), ("", 411)):
            headers = {"Idempotency-Key": ID, "Content-Length": length}
            self.assertEqual(self.post(relay_, b"{}", headers)[0], status, length[:9])
        with contextlib.closing(http.client.HTTPConnection(at(relay_), timeout=10)) as connection:
            connection.request("POST", "/calls", iter([b"{}"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            self.assertEqual(connection.getresponse().status, 411)
        self.assertEqual(ntfy.published, [])
        self.assertEqual(self.call(relay_)[0], 200)

    def test_takes_a_bounded_number_of_connections_and_frees_them(self):
        ntfy, relay_ = self.ntfy()
        idle = [socket.create_connection(relay_.server_address) for _ in range(server.CONNECTIONS_MAX)]
        self.assertTrue(any(self.is_busy(relay_) for _ in range(500)))
        for one in idle:
            one.close()
        while self.is_busy(relay_):
            pass
        self.assertTrue(ntfy.published)

    def is_busy(self, relay_):
        try:
            return self.call(relay_)[0] == 503
        except ConnectionError:
            return True  # it was closed before everything was sent

    def test_forgets_the_oldest_keys_first(self):
        memory = relay.Memory(most=2)
        for key in "abc":
            self.assertEqual(memory.begin(key), "new")
            memory.end(key, True)
        self.assertEqual([memory.begin(key) for key in "cba"], ["accepted", "accepted", "new"])

    def test_positions_are_passed_on_now_and_then(self):
        ntfy, relay_ = self.ntfy(UPDATES="60")
        position = lambda number, **more: self.call(relay_, key=f"{ID}-{number}", type="incident.updated", **more)[1]
        self.assertEqual(self.call(relay_)[1], "passed on")
        self.assertIn("not passed on", position(1))
        self.now = 60.0
        self.assertEqual(position(2), "passed on")
        self.now = 70.0
        self.assertIn("not passed on", position(3))
        self.assertEqual(position(4, state="acknowledged"), "passed on")
        titles = [one["title"] for one in ntfy.published]
        self.assertEqual(titles, ["EMERGENCY: bus 7", "bus 7: new position", "bus 7: acknowledged"])
        self.assertEqual([one["priority"] for one in ntfy.published], [5, 2, 2])


class WhatPeopleRead(Relayed):
    def test_a_real_call(self):
        ntfy, relay_ = self.ntfy(NTFY_TOKEN="tk_1", VAGN_TOKEN="secret", BY="duty phone", **VAGN)
        self.call(relay_)
        (one,) = ntfy.published
        self.assertEqual(ntfy.authorizations, ["Bearer tk_1"])
        self.assertEqual((one["topic"], one["title"], one["priority"]), ("calls", "EMERGENCY: bus 7", 5))
        self.assertEqual(one["tags"], ["rotating_light"])
        self.assertEqual(one["click"], f"https://vagn.example:9090/api/v1/incidents/{ID}")
        self.assertIn("59.330000, 18.060000", one["message"])
        self.assertNotIn("secret", one["message"])
        acknowledge, show = one["actions"]
        self.assertEqual(acknowledge["url"], f"https://vagn.example:9090/api/v1/incidents/{ID}/acknowledge")
        self.assertEqual(acknowledge["headers"]["Authorization"], "Bearer secret")
        self.assertEqual(json.loads(acknowledge["body"])["by"], "duty phone")
        self.assertEqual((acknowledge["method"], acknowledge["clear"]), ("POST", True))
        self.assertIn("mlat=59.330000&mlon=18.060000", show["url"])

    def test_no_button_without_a_token(self):
        ntfy, relay_ = self.ntfy(MAP_URL="", **VAGN)
        self.call(relay_)
        self.assertEqual(ntfy.published[0]["actions"], [])

    def test_a_test_is_marked_everywhere(self):
        for changes in ({"test": True}, {"test": True, "type": "incident.escalated"}, {"kind": "test"}):
            ntfy, relay_ = self.ntfy()
            self.call(relay_, **changes)
            (one,) = ntfy.published
            self.assertTrue(one["title"].startswith("TEST, no emergency: "), one)
            self.assertTrue(one["message"].startswith("This is a TEST."), one)
            self.assertIn("TEST", one["tags"])
            self.assertNotIn("rotating_light", one["tags"])
            self.assertLess(one["priority"], 5)

    def test_a_late_call_without_a_position(self):
        ntfy, relay_ = self.ntfy()
        self.call(relay_, stale=True, quiet=True, lat=None, lon=None, age_s=9000)
        for words_ in ("No position is known", "2.5 h", "LATE", "silent"):
            self.assertIn(words_, ntfy.published[0]["message"])

    def test_whatever_a_vehicle_sends_is_passed_on(self):
        odd = ["a\r\nBcc: thief@example.org", "\ud800", "\u202eabc", "x" * 100_000, {"a": [1]}, None, 7, ""]
        for number, vehicle in enumerate(odd):
            smtp, relay_ = self.mail()
            status = self.call(relay_, vehicle_id=vehicle, lat="north", age_s=float("nan"), attempt=[], received_at={})
            self.assertEqual(status[:2], (200, "passed on"), number)
            people, letter = smtp.letters[0]
            self.assertEqual(people, ["duty@example.org", "deputy@example.org"])
            self.assertNotIn("Bcc", letter)
            self.assertLess(len(letter.as_bytes()), 5_000)

    def test_the_shortest_call(self):
        ntfy, relay_ = self.ntfy(**VAGN)
        self.assertEqual(self.post(relay_, {}, {"Idempotency-Key": "../../x?y"})[0], 200)
        self.assertEqual(ntfy.published[0]["priority"], 5)
        self.assertTrue(ntfy.published[0]["click"].endswith("/incidents/..%2F..%2Fx%3Fy"))


class AnEmail(Relayed):
    def test_is_taken_over_once(self):
        smtp, relay_ = self.mail(**VAGN)
        self.assertEqual(self.call(relay_)[:2], (200, "passed on"))
        self.assertEqual(self.call(relay_)[:2], (200, "was passed on before"))
        ((people, letter),) = smtp.letters
        self.assertEqual(people, ["duty@example.org", "deputy@example.org"])
        self.assertEqual(letter["Subject"], "EMERGENCY: bus 7")
        self.assertEqual(letter["Message-ID"], f"<{ID}@example.org>")
        self.assertEqual(letter["Importance"], "high")
        self.assertIn(f"curl https://vagn.example:9090/api/v1/incidents/{ID}/acknowledge", letter.get_content())

    def test_follows_the_first_one_in_its_thread(self):
        smtp, relay_ = self.mail()
        self.call(relay_, key=f"{ID}-1", type="incident.escalated")
        self.assertEqual(smtp.letters[0][1]["References"], f"<{ID}@example.org>")

    def test_is_tried_again_when_it_was_not_taken_over(self):
        for refuses in ("EHLO", "MAIL", "RCPT", "DATA"):
            smtp, relay_ = self.mail()
            smtp.refuses = refuses
            heard = self.call(relay_)
            # A server that refuses EHLO may still know HELO.
            self.assertEqual(heard[0], 200 if refuses == "EHLO" else 503, refuses)
            smtp.refuses = None
            self.assertEqual(self.call(relay_)[0], 200)
            self.assertEqual(len(smtp.letters), 1)

    def test_that_reached_somebody_is_not_sent_again(self):
        smtp, relay_ = self.mail()
        smtp.refuses = "deputy"
        self.assertEqual(self.call(relay_)[:2], (200, "passed on"))
        self.assertEqual(smtp.letters[0][0], ["duty@example.org"])

    def test_does_not_go_out_in_the_clear_when_it_must_not(self):
        smtp, relay_ = self.mail(SMTP_TLS="starttls")
        self.assertEqual(self.call(relay_)[0], 503)
        self.assertEqual(smtp.letters, [])

    def test_a_test_is_marked(self):
        smtp, relay_ = self.mail()
        self.call(relay_, test=True)
        letter = smtp.letters[0][1]
        self.assertTrue(letter["Subject"].startswith("TEST, no emergency: "))
        self.assertIsNone(letter["Importance"])


class AnAlert(Relayed):
    NOTIFICATION = {
        "version": "4", "groupKey": "{}:{}", "status": "firing", "commonLabels": {"alertname": "VagnDown"},
        "alerts": [{
            "status": "firing", "labels": {"alertname": "VagnDown", "severity": "page"},
            "annotations": {"summary": "Vagn at a does not answer.", "runbook": "docs/operating.md#vagndown"},
        }],
    }

    def notify(self, to, token=None, **changes):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.post(to, {**self.NOTIFICATION, **changes}, headers, path="/alerts")[0]

    def test_wakes_somebody_and_says_when_it_is_over(self):
        ntfy, relay_ = self.ntfy()
        self.assertEqual(self.notify(relay_), 200)
        self.assertEqual(self.notify(relay_, status="resolved"), 200)
        titles = [(one["title"], one["priority"]) for one in ntfy.published]
        self.assertEqual(titles, [("ALERT: VagnDown", 5), ("Over: VagnDown", 2)])
        self.assertIn("does not answer.\ndocs/operating.md#vagndown", ntfy.published[0]["message"])

    def test_is_repeated_by_alertmanager_when_ntfy_is_down(self):
        ntfy, relay_ = self.ntfy()
        ntfy.status = 500
        self.assertEqual(self.notify(relay_), 503)

    def test_shows_a_token(self):
        ntfy, relay_ = self.ntfy(ALERT_TOKEN="let me in")
        self.assertEqual([self.notify(relay_), self.notify(relay_, "wrong")], [401, 401])
        self.assertEqual(self.notify(relay_, "let me in"), 200)
        self.assertEqual(len(ntfy.published), 1)

    def test_odd_ones_are_passed_on(self):
        ntfy, relay_ = self.ntfy()
        many = self.NOTIFICATION["alerts"] * 100
        for changes in ({"alerts": None}, {"alerts": [1, {}]}, {"commonLabels": 7}, {"alerts": many}):
            self.assertEqual(self.notify(relay_, **changes), 200)
        self.assertLess(max(len(one["message"].encode()) for one in ntfy.published), 4096)


class TheProgram(unittest.TestCase):
    def run_it(self, program, *arguments, **settings):
        environment = {"PATH": os.environ["PATH"], **{relay.PREFIX + name: value for name, value in settings.items()}}
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, os.path.join(here, program), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)

    def test_explains_itself(self):
        for program, setting in (("ntfy_relay.py", "NTFY_TOPIC"), ("email_relay.py", "SMTP_PASSWORD")):
            done = self.run_it(program, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertIn(f"VAGN_RELAY_{setting}", done.stdout)

    def test_says_which_setting_is_wrong(self):
        good = {"NTFY_URL": "http://127.0.0.1:9", "NTFY_TOPIC": "calls"}
        for settings, said in (
            ({}, "NTFY_URL is not set"),
            ({**good, "NTFY_URL": "nonsense"}, "unknown url type"),
            ({**good, "TIMEOUT": "soon"}, "TIMEOUT"),
            ({**good, "BY": "x" * 65}, "BY has 1 to 64"),
            ({**good, "SECRET": "whsec_####"}, "SECRET is not base64"),
            ({**good, "SECRET": "whsec_"}, "SECRET has 0 bytes"),
            ({**good, "LISTEN": "9096x"}, "LISTEN is not host:port"),
            ({**good, "LISTEN": "0.0.0.0:0"}, "SECRET is not set"),
            ({**good, "NTFY_TOKEN_FILE": "/nowhere"}, "/nowhere"),
        ):
            done = self.run_it("ntfy_relay.py", **settings)
            self.assertEqual((done.returncode, said in done.stderr), (64, True), done.stderr)

    def test_tries_itself_out(self):
        ntfy = running(FakeNtfy())
        settings = {"NTFY_URL": f"http://{at(ntfy)}", "NTFY_TOPIC": "calls"}
        self.assertEqual(self.run_it("ntfy_relay.py", "--try", **settings).returncode, 0)
        self.assertIn("TEST", ntfy.published[0]["title"])
        ntfy.status = 500
        self.assertEqual(self.run_it("ntfy_relay.py", "--try", **settings).returncode, 1)
        ntfy.shutdown()
        ntfy.server_close()

    def test_listens_and_stops_when_told(self):
        environment = {"PATH": os.environ["PATH"], "VAGN_RELAY_NTFY_URL": "http://127.0.0.1:9",
                       "VAGN_RELAY_NTFY_TOPIC": "calls", "VAGN_RELAY_LISTEN": "127.0.0.1:0"}
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ntfy_relay.py")
        running_ = subprocess.Popen([sys.executable, program], env=environment, stderr=subprocess.PIPE, text=True)
        port = int(running_.stderr.readline().rpartition(":")[2])
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/healthz")
            self.assertEqual(connection.getresponse().status, 200)
        running_.terminate()
        self.assertEqual(running_.wait(10), 0)
        running_.stderr.close()


if __name__ == "__main__":
    unittest.main()
