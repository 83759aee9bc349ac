"""A running `vagn serve` and other commands of the binary, for scripts that drive it from outside."""

import os
import re
import signal
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import bench_section as section

VAGN = Path(os.environ.get("VAGN") or section.TARGET / "release" / "vagn")
LISTENERS = ("udp", "tcp", "http", "ops")
FREE_PORTS = [part for name in LISTENERS for part in (f"--{name}", "127.0.0.1:0")]


class Programs:
    """Programs that run until this ends."""

    def __init__(self):
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, *arguments, wait=None, each=None, **options):
        """Starts a command of the binary, and reads its output up to a pattern; the lines after it go to `each`."""
        process = subprocess.Popen([VAGN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options)
        self.processes.append(process)
        said, found = "", None
        while wait and not found:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"vagn {arguments[0]} ended before it said {wait}")
            said += line
            found = re.search(wait, said, re.MULTILINE)
        # Its further output is always read, so that it never waits for a reader.
        threading.Thread(target=lambda: [each and each(line) for line in process.stdout], daemon=True).start()
        return found

    def serve(self, *arguments, **options):
        """Starts the service. Returns its process, and the address of each listener."""
        said = self.run("serve", *FREE_PORTS, *arguments, wait=r"(?s)(.*)^ready$", **options)[1]
        return self.processes[-1], dict(re.findall(r"listening (\w+) (\S+)", said))


def said(*arguments):
    """Runs a command of the binary to its end, and returns what it said; raises with its complaint if it fails."""
    done = subprocess.run([VAGN, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"vagn {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def message(vehicle_id, lat, lon, seq=None, emergency=False):
    """A report in msgpack; see docs/wire.md."""
    key = lambda name: bytes([0xA0 | len(name)]) + name.encode()
    parts = [key("ID"), key(vehicle_id), key("Lon"), b"\xcb", struct.pack(">d", lon), key("Lat"), b"\xcb",
             struct.pack(">d", lat)]
    if seq is not None:
        parts += [key("Seq"), b"\xcf", struct.pack(">Q", seq)]
    parts += [key("Emergency"), b"\xc3" if emergency else b"\xc2"]
    return bytes([0x84 if seq is None else 0x85]) + b"".join(parts)


def resident_mb(pid):
    return status_number(pid, "VmRSS") / 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return status_number(pid, "Threads")


def status_number(pid, name):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
