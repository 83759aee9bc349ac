"""The HTTP side of a relay: bounded bodies, bounded waits, a bounded number of connections."""

import http.server
import json
import logging
import socket
import sys
import threading

BODY_MAX = 256 * 1024  # bytes; a notice with its track has a few thousand
CONNECTIONS_MAX = 128  # Vagn makes at most emergency.concurrency (64) at a time
REQUEST_MAX_S = 15  # limit for a whole request to arrive, however slowly
RETRY_AFTER_S = 2

log = logging.getLogger("relay")


def whole_number(text):
    """Reads a number of at most 15 digits from a header; otherwise None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


class Answer:
    """An answer: a status, a word about it, and the time until the next try."""

    def __init__(self, status, said, retry_after_s=None):
        self.status, self.said, self.retry_after_s = status, said, retry_after_s


class Handler(http.server.BaseHTTPRequestHandler):
    """One request on one connection. The answer is HTTP/1.0, so that nothing waits for a second request."""

    server_version = "vagn-relay"
    sys_version = ""
    timeout = REQUEST_MAX_S

    def setup(self):
        super().setup()
        # The time-out above is for each read; this one is for all of them together.
        self.alarm = threading.Timer(REQUEST_MAX_S, self.hang_up)
        self.alarm.daemon = True
        self.alarm.start()

    def finish(self):
        self.alarm.cancel()
        super().finish()

    def hang_up(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def do_GET(self):
        found = self.path == "/healthz"
        self.answer(Answer(200, "ok") if found else Answer(404, "try /healthz"))

    def do_POST(self):
        length = whole_number(self.headers.get("content-length", ""))
        if length is None:
            return self.turn_down(Answer(411, "a body has a Content-Length"))
        if length > BODY_MAX:
            return self.turn_down(Answer(413, f"a body has at most {BODY_MAX} bytes"))
        body = self.rfile.read(length)
        self.alarm.cancel()  # the request is here; from now on the time is ours and the other side's
        if len(body) < length:
            return None
        relay = self.server.relay
        work = {"/calls": relay.call, "/alerts": relay.alert}.get(self.path)
        return self.answer(work(self.headers, body) if work else Answer(404, "try /calls or /alerts"))

    def turn_down(self, answer):
        """Refuses a request with its body. To close with a part of the body unread would cut off the answer."""
        self.answer(answer)
        for _ in range(64):
            if not self.rfile.read1(BODY_MAX):
                break

    def answer(self, answer):
        body = json.dumps({"said": answer.said}).encode() + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.retry_after_s is not None:
            self.send_header("Retry-After", str(int(answer.retry_after_s)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        log.debug(format, *arguments)


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection, up to a limit; beyond it the client is asked to try again."""

    daemon_threads = False  # a stop waits for what is being passed on
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, address, relay):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.relay = relay
        self.free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, Handler)

    def process_request(self, request, client_address):
        if self.free.acquire(blocking=False):
            try:
                return super().process_request(request, client_address)
            except BaseException:  # no thread could be started
                self.free.release()
                raise
        request.sendall(b"HTTP/1.0 503 Busy\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n" % RETRY_AFTER_S)
        return self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request, client_address):
        if isinstance(sys.exc_info()[1], OSError):
            log.info("connection lost: %s", sys.exc_info()[1])
        else:
            log.exception("request failed")
