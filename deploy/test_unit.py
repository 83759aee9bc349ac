"""The systemd unit: it can be read, and opens no more than it needs."""

import configparser
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

UNIT = Path(__file__).with_name("vagn.service")


class OneOfMany(dict):
    """A section in which a key may stand several times."""

    def __setitem__(self, key, value):
        if key in self and isinstance(value, list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def read():
    parser = configparser.RawConfigParser(dict_type=OneOfMany, strict=False)
    parser.optionxform = str
    parser.read(UNIT)
    return parser


class Unit(unittest.TestCase):
    def test_it_is_restarted_unless_a_person_is_needed_and_reloads_by_the_signal(self):
        service = read()["Service"]
        self.assertEqual(service["Restart"], "on-failure")
        self.assertEqual(service["RestartPreventExitStatus"], "64")
        self.assertEqual(service["Type"], "notify")
        self.assertIn("-HUP $MAINPID", service["ExecReload"])
        self.assertGreaterEqual(int(service["TimeoutStopSec"]), 10)
        self.assertEqual(read()["Unit"]["StartLimitIntervalSec"], "0")

    def test_it_may_ask_the_kernel_for_its_clock(self):
        self.assertNotIn("ProtectClock", read()["Service"])
        self.assertIn("adjtimex", UNIT.read_text())

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_systemd_reads_it(self):
        with tempfile.TemporaryDirectory() as folder:
            # The binary need not be installed here.
            unit = Path(folder) / "vagn.service"
            unit.write_text(UNIT.read_text().replace("/usr/local/bin/vagn", "/bin/true"))
            said = subprocess.run(
                ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
            )
        ours = [line for line in said.stderr.splitlines() if "vagn.service" in line]
        self.assertEqual(ours, [])

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_its_exposure_is_low(self):
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)


if __name__ == "__main__":
    unittest.main()
