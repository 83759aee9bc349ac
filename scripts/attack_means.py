#!/usr/bin/env python3
"""The means of attacks on a service: each runs in a process of its own until it is ended.

    scripts/attack_means.py MEANS udp=HOST:PORT tcp=… http=… ops=… [crowd=NUMBER]
"""

import ctypes
import errno
import itertools
import os
import resource
import select
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service import address, message, trusting

# A crowd has many addresses.
SOURCES = [f"127.0.1.{number}" for number in range(1, 41)]
CROWD = 3_000
# What a full buffer, or a service that is not there, makes of a datagram.
REFUSED = (errno.ECONNREFUSED, errno.ENOBUFS, errno.EINTR)
WORLD = "/api/v1/vehicles?bbox=-180,-85,180,85&limit=10000"
# Such an answer is more than the kernel and a connection hold of it together. The connections that are stuck ask for it, and all of it has room
# among the answers.
PART_OF_WORLD = "/api/v1/vehicles?bbox=-180,-85,180,85&limit=540"
STUCK_THREADS = 10


def main():
    means, *listeners = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    given = (each.split("=", 1) for each in listeners)
    MEANS[means]({name: address(at) if ":" in at else int(at) for name, at in given})


def connect(at, source=None, window=None):
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if window:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    if source:
        plain.bind((source, 0))
    plain.settimeout(20)
    plain.connect(at)
    return plain


def speaking(protocol):
    context = trusting()
    context.set_alpn_protocols([protocol])
    return context


def secure(at, source=None, window=None, protocol="http/1.1", context=None):
    return (context or speaking(protocol)).wrap_socket(connect(at, source, window), server_hostname="localhost")


def each_on_its_thread(works):
    """Does each piece of work again and again, as a client that comes back whenever it is thrown out."""

    def again(work):
        while True:
            try:
                work()
            except (OSError, ssl.SSLError):
                time.sleep(0.1)

    threading.stack_size(256 << 10)
    threads = [threading.Thread(target=again, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    threads[0].join()


def hold(connections, most, open_one, end_is=select.POLLIN | select.POLLHUP):
    """Keeps up to `most` connections open: new ones take the place of those that the service ends."""
    while True:
        ended, *_ = select_many(connections, end_is)
        for connection in ended:
            connections.remove(connection)
            connection.close()
        for _ in range(min(50, most - len(connections))):
            try:
                connections.append(open_one())
            except (OSError, ssl.SSLError):
                break
        time.sleep(0.05)


def select_many(connections, end_is):
    """Connections that have ended. For one that asks for nothing, something to read is its end."""
    poll = select.poll()
    by_number = {connection.fileno(): connection for connection in connections}
    for number in by_number:
        poll.register(number, end_is)
    return [[by_number[number] for number, _ in poll.poll(0)]]


def idle(at):
    """Connections to HTTPS and to the operator's pages on which nothing is ever asked."""
    sources = itertools.cycle(SOURCES)
    def plain(port):
        return lambda: connect(at[port], next(sources))
    works = [lambda: hold([], CROWD // 2, plain("http")), lambda: hold([], CROWD // 2, plain("ops")),
             lambda: hold([], CROWD // 2, plain("tcp"))]
    each_on_its_thread([*works, *[lambda: idle_tls(at["http"], next(sources))] * 64])


def idle_tls(at, source):
    connection = secure(at, source)
    connection.settimeout(600)
    connection.recv(1)
    raise OSError("the service ended it")


def unread(at):
    """Large answers that are asked for and never taken, over HTTP/2 with windows of 0 and over HTTP/1.1."""
    works = [lambda source=source: unread_http2(at["http"], source) for source in SOURCES[:8]]
    each_on_its_thread([*works, *[lambda source=source: unread_http1(at["http"], source) for source in SOURCES * 10]])


def unread_http2(at, source):
    connection = secure(at, source, protocol="h2")
    frame = lambda kind, flags, stream, body: struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    no_window = frame(4, 0, 0, struct.pack(">HI", 4, 0))
    path = WORLD.encode()
    # GET, https, and a path and an authority that are written out.
    head = b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"
    asks = b"".join(frame(1, 5, 2 * number + 1, head) for number in range(100))
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window + frame(4, 1, 0, b"") + asks)
    connection.settimeout(600)
    while connection.recv(65_536):
        pass
    raise OSError("the service ended it")


def unread_http1(at, source):
    connection = secure(at, source, window=4_096)
    connection.sendall(f"GET {WORLD} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLHUP | select.POLLERR)
    poll.poll(600_000)
    raise OSError("the service ended it")


def stuck(at):
    """Answers for which there is memory, and of which nothing is taken, until the account of output that waits is full and beyond."""
    sources = itertools.cycle(SOURCES)
    # To make one takes longer than a handshake, and the crowd has to be there before the first of it are ended.
    context = speaking("http/1.1")
    def ask():
        connection = secure(at["http"], next(sources), window=4_096, context=context)
        connection.sendall(f"GET {PART_OF_WORLD} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection
    # Only its end is looked for: there is always something to read.
    each_on_its_thread([lambda: hold([], at["crowd"] // STUCK_THREADS, ask, 0)] * STUCK_THREADS)


def bodies(at):
    """Bodies of which half is sent, large and small, for positions and for deeds."""
    sizes = [("/api/v1/positions", 16 << 10)] * 66 + [("/api/v1/positions", 8 << 20)] * 9
    deeds = [("/api/v1/incidents/01a224b6-368f-77cd-bc01-033789070fc1/comments", 16 << 10)] * 66
    sources = itertools.cycle(SOURCES)
    each_on_its_thread([lambda path=path, size=size: half(at["http"], next(sources), path, size) for path, size in sizes + deeds])


def half(at, source, path, size):
    connection = secure(at, source)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode() + b"[" + b" " * (size - 100))
    connection.settimeout(600)
    connection.recv(1)
    raise OSError("the service refused it or ended it")


def halves(at):
    """Connections on which a request comes by half and no more, to HTTPS and to the operator's pages; and to the TCP door one report each, of
    vehicles that nobody knows."""
    sources, numbers, context = itertools.cycle(SOURCES), itertools.count(), speaking("http/1.1")
    def half_request(connection, head):
        connection.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n[    ".encode())
        return connection
    def positions():
        return half_request(secure(at["http"], next(sources), context=context), "POST /api/v1/positions")
    def metrics():
        return half_request(connect(at["ops"], next(sources)), "GET /metrics")
    def stranger():
        connection = secure(at["tcp"], next(sources), context=trusting())
        connection.sendall(message(f"invented {next(numbers)}", 10, 10))
        return connection
    each_on_its_thread([lambda: hold([], CROWD // 2, positions), lambda: hold([], CROWD // 2, metrics), lambda: hold([], CROWD // 2, stranger)])


class Talker(BaseHTTPRequestHandler):
    """A target that says `continue` for ever."""

    def do_POST(self):
        try:
            while True:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


def talker(_):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Talker)
    server.daemon_threads = True
    print(f"listening {server.server_address[0]}:{server.server_address[1]}", flush=True)
    server.serve_forever()


class Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Head(ctypes.Structure):
    """struct msghdr."""

    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("pieces", ctypes.POINTER(Piece)), ("count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t), ("flags", ctypes.c_int)]


class Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = [("head", Head), ("sent", ctypes.c_uint)]


# Datagrams that one call of the system takes.
AT_ONCE = 64


def flood(at):
    """The datagrams of standard input, each behind its length of two bytes, again and again. Says each second how many it has sent, and
    how many answers came."""
    datagrams = list(datagrams_in(sys.stdin.buffer.read()))
    pieces = [Piece(each, len(each)) for each in datagrams]
    messages = (Message * len(pieces))(*[Message(Head(pieces=ctypes.pointer(piece), count=1)) for piece in pieces])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(at["udp"])
    libc = ctypes.CDLL(None, use_errno=True)
    sent, answered, told = 0, 0, time.monotonic()
    for first in itertools.cycle(range(0, len(messages), AT_ONCE)):
        count = libc.sendmmsg(udp.fileno(), ctypes.byref(messages[first]), min(AT_ONCE, len(messages) - first), 0)
        if count < 0 and ctypes.get_errno() not in REFUSED:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        sent += max(0, count)
        answered += answers(udp)
        if time.monotonic() > told + 1:
            told = time.monotonic()
            print(sent, answered, flush=True)


def datagrams_in(data):
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        yield data[at + 2:end]
        at = end


def answers(udp):
    """Takes all answers that are there, and returns how many."""
    count = 0
    while True:
        try:
            udp.recv(2_048, socket.MSG_DONTWAIT)
            count += 1
        except BlockingIOError:
            return count
        except ConnectionRefusedError:
            pass  # nobody listens at the moment


MEANS = {"idle": idle, "unread": unread, "stuck": stuck, "bodies": bodies, "halves": halves, "talker": talker, "forged": flood}

if __name__ == "__main__":
    main()
