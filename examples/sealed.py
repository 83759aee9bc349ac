#!/usr/bin/env python3
"""Sends sealed reports to Vagn; needs only Python 3.8. A port to another language has the same parts.

    sealed.py KEYFILE LAT LON [--emergency] [--to HOST:PORT]   sends a report; an alarm is repeated until it is answered
    sealed.py KEYFILE --seal SEQUENCE REPORT [--emergency]     prints the envelope of a report, both in hex
    sealed.py KEYFILE --open ANSWER                            prints sequence and content of an answer, in hex

KEYFILE holds one line of `vagn device add ID --json`. The last sequence is kept beside it, in KEYFILE.sequence.
ChaCha20 in plain Python takes about a millisecond per report: with many reports use a library for `seal` and `unseal`, for
example `cryptography` (ChaCha20Poly1305).
"""
import base64, fcntl, hmac, json, os, socket, struct, sys, time

ORDINARY, CALL = b"\xc2", b"\xc3"


# --- ChaCha20-Poly1305, RFC 8439

def chacha20_block(key, counter, nonce):
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    state = list(start)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(10):
        for columns in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
            quarter(*columns)
        for diagonals in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(*diagonals)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, start)))


def chacha20(key, nonce, data):
    out = bytearray()
    for at in range(0, len(data), 64):
        stream = chacha20_block(key, 1 + at // 64, nonce)
        out += bytes(a ^ b for a, b in zip(data[at:at + 64], stream))
    return bytes(out)


def tag_of(key, nonce, aad, sealed):
    once = chacha20_block(key, 0, nonce)[:32]
    r = int.from_bytes(once[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    padded = lambda data: data + bytes(-len(data) % 16)
    message = padded(aad) + padded(sealed) + struct.pack("<QQ", len(aad), len(sealed))
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(once[16:], "little")) % 2**128).to_bytes(16, "little")


def seal(key, nonce, aad, message):
    sealed = chacha20(key, nonce, message)
    return sealed + tag_of(key, nonce, aad, sealed)


def unseal(key, nonce, aad, sealed):
    sealed, tag = sealed[:-16], sealed[-16:]
    if not hmac.compare_digest(tag, tag_of(key, nonce, aad, sealed)):
        raise ValueError("the tag is wrong")
    return chacha20(key, nonce, sealed)


# --- keys and envelopes

def hkdf(secret, salt, info, length):
    """HKDF-SHA256, RFC 5869."""
    pseudorandom, out, block = hmac.digest(salt, secret, "sha256"), b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudorandom, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


class Device:
    """A key file, with the keys of both directions."""

    def __init__(self, path):
        self.path = path
        with open(path) as file:
            line = json.loads(file.readline())
        self.vehicle_id, self.epoch = line.get("vehicle_id"), line["epoch"]
        self.key_id, secret = bytes.fromhex(line["key_id"]), base64.b64decode(line["secret"])
        self.up, self.down = (
            hkdf(secret, self.key_id + bytes([self.epoch]), info, 36) for info in (b"vagn/1 up", b"vagn/1 down"))

    def seal(self, sequence, report, lane):
        head = b"\xc1" + bytes([0x10 | self.epoch]) + self.key_id + struct.pack(">Q", sequence)
        nonce = self.up[32:] + struct.pack(">Q", sequence)
        return head + seal(self.up[:32], nonce, head + lane, report) + lane

    def open_answer(self, datagram):
        """Returns the sequence and the msgpack of an answer; raises ValueError when it is none to this key."""
        head, sealed, lane = datagram[:18], datagram[18:-1], datagram[-1:]
        if len(datagram) < 36 or head[:10] != b"\xc1" + bytes([0x10 | self.epoch]) + self.key_id:
            raise ValueError("no answer to this key")
        sequence = head[10:]
        return int.from_bytes(sequence, "big"), unseal(self.down[:32], self.down[32:] + sequence, head + lane, sealed)

    def sequences(self):
        """Gives numbers of which none was ever used: above the clock and above the last one that was kept."""
        with open(os.open(self.path + ".sequence", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)        # two programs with one key must not run side by side
            last = max(int(file.read().strip() or 0) + 1024, time.time_ns() // 1_000_000)
            while True:
                last += 1
                file.seek(0)                        # before the number is used; a device writes one in a thousand ahead
                file.write("%020d\n" % last)
                file.flush()
                yield last


# --- reports: msgpack, as far as it is needed

def msgpack_map(pairs):
    def value(it):
        if isinstance(it, bool):
            return CALL if it else ORDINARY         # 0xc3 and 0xc2 are true and false in msgpack
        if isinstance(it, float):
            return struct.pack(">Bd", 0xCB, it)
        if isinstance(it, int):
            return struct.pack(">BQ", 0xCF, it)
        text = it.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else bytes([0xD9, len(text)])) + text
    return bytes([0x80 | len(pairs)]) + b"".join(value(key) + value(it) for key, it in pairs.items())


def report(lat, lon, emergency, seq):
    # Ts is inside the seal, which proves who sent a report, and not when. Without `ID` the key says the vehicle; a gateway
    # sends it. Emergency comes last.
    return msgpack_map({"Lat": lat, "Lon": lon, "Ts": time.time_ns() // 1_000_000, "Seq": seq, "Emergency": emergency})


def send(device, lat, lon, emergency, host, port):
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    # IPv4 first: a server that listens on 0.0.0.0 is then found under `localhost`, too.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.connect(address)                            # so that it receives from the server alone
    sequences = device.sequences()
    seq = time.time_ns() // 1_000_000
    call = report(lat, lon, emergency, seq)         # the same in each repeat; the envelope has a new sequence
    if not emergency:
        udp.send(device.seal(next(sequences), call, ORDINARY))
        return print("sent")
    for wait in (1, 2, 4, 8):
        udp.settimeout(wait)
        try:
            udp.send(device.seal(next(sequences), call, CALL))
            while True:
                try:
                    _, answer = device.open_answer(udp.recv(2048))
                except ValueError:
                    continue                        # not sealed by the server: not to be believed
                if b"\xa6Stored\xc3" in answer and b"\xa3Seq\xcf" + struct.pack(">Q", seq) in answer:
                    return print("stored")
        except socket.timeout:
            print("no answer: the alarm is repeated", file=sys.stderr)
        except ConnectionError:
            time.sleep(wait)                        # perhaps the server is about to start
    sys.exit("the alarm may not be recorded")


def main(args):
    emergency = "--emergency" in args
    args = [arg for arg in args if arg != "--emergency"]
    if len(args) < 3:
        sys.exit(__doc__)
    device = Device(args[0])
    if args[1] == "--seal":
        print(device.seal(int(args[2]), bytes.fromhex(args[3]), CALL if emergency else ORDINARY).hex())
    elif args[1] == "--open":
        sequence, answer = device.open_answer(bytes.fromhex(args[2]))
        print(sequence, answer.hex())
    elif device.vehicle_id is None:
        # Under a gateway's key the service refuses a report without ID (`no_id`), and tells nobody.
        sys.exit("the key is that of a gateway, whose reports need ID: make a key for the vehicle, or add ID in `report`")
    else:
        target = args[args.index("--to") + 1] if "--to" in args else "localhost:9092"
        host, port = target.rsplit(":", 1)
        send(device, float(args[1]), float(args[2]), emergency, host.strip("[]"), int(port))


if __name__ == "__main__":
    main(sys.argv[1:])
