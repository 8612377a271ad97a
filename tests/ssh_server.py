"""OpenSSH's server on the loopback, with a port, keys and a configuration of its own."""

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path

import psutil

SSHD = "/usr/sbin/sshd"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class SshServer:
    """Started at once; `command` is what a client types to get there."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("host_key", "user_key"):
            key = str(self.folder / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start as root without it
        self.log = self.folder / "sshd.log"
        while not self._started():  # somebody else took the port meanwhile
            assert "Address already in use" in self.log.read_text(), self.log.read_text()
            self.log.unlink()

    def _started(self, timeout_s=120):
        """Start on a port that is free now; return False if the server ended."""
        self.port = free_port()
        config = self.folder / "sshd_config"
        config.write_text(
            f"""\
Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.folder}/host_key
AuthorizedKeysFile {self.folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
"""
        )
        self.process = subprocess.Popen([SSHD, "-D", "-E", str(self.log), "-f", str(config)])
        deadline_s = time.monotonic() + timeout_s
        while self.process.poll() is None:
            if f"Server listening on 127.0.0.1 port {self.port}" in self._logged():
                return True
            assert time.monotonic() < deadline_s, self._logged()
            time.sleep(0.05)
        return False

    def _logged(self):
        return self.log.read_text() if self.log.exists() else ""

    def command(self, *remote):
        """Return the client's command line; without a remote command it opens a shell."""
        return self._client("-tt", *remote)

    def launcher(self):
        """Return the words before a command that is to run there without a terminal."""
        return self._client("-T")

    def _client(self, terminal, *remote):
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
        return [
            "ssh", terminal, "-F", "none", "-i", str(self.folder / "user_key"), "-p", str(self.port),
            *(part for option in options for part in ("-o", option)), f"{getpass.getuser()}@127.0.0.1", *remote,
        ]  # fmt: skip

    def cut_connections(self):
        """End the connections as a failing network does: neither side says goodbye."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if process.name().startswith("sshd"):
                process.kill()

    def close(self):
        self.process.terminate()
        self.process.wait(120)
