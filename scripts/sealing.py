"""Keys and sealed reports for scripts that drive the service from outside: docs/wire.md, by the sender in examples/."""

import base64
import json
import os
import sys

import bench_section as section
from service import said

sys.dont_write_bytecode = True
sys.path.insert(0, str(section.ROOT / "examples"))
import sealed  # noqa: E402  (found by the path above)
from sealed import CALL, ORDINARY  # noqa: E402,F401  (for those who import this)


class Key(sealed.Device):
    """A key of one vehicle, made here by chance."""

    def __init__(self, vehicle_id):
        self.vehicle_id, self.epoch = vehicle_id, 0
        self.key_id, self.secret = os.urandom(8), os.urandom(32)
        salt = self.key_id + bytes([self.epoch])
        self.up, self.down = (sealed.hkdf(self.secret, salt, info, 36) for info in (b"vagn/1 up", b"vagn/1 down"))

    def texts(self):
        return {"vehicle_id": self.vehicle_id, "key_id": self.key_id.hex(), "secret": base64.b64encode(self.secret).decode()}


def import_keys(data_dir, keys, file):
    """Puts keys in force, with the service running or not."""
    rows = [",".join(key.texts().values()) for key in keys]
    file.write_text("\n".join(["vehicle_id,key_id,secret", *rows]) + "\n")
    return said("device", "import", file, "--data-dir", data_dir)


def write_key_file(file, keys):
    """Writes the file that `vagn simulate --key-file` and its like take."""
    file.write_text("".join(json.dumps({**key.texts(), "epoch": key.epoch}) + "\n" for key in keys))
    return file


def in_stream(envelope):
    """An envelope as it stands in a stream: the content of a msgpack `bin`."""
    return bytes([0xC4, len(envelope)]) + envelope
