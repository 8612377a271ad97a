"""A Slurm cluster of one node on the loopback, from Debian's packages, with folders of its own."""

import os
import socket
import subprocess
import time
from pathlib import Path

SLURMD = "/usr/sbin/slurmd"
_CONFIG = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPort={controller_port}
SlurmdPort={node_port}
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={n_cpus} ThreadsPerCore=1 \
RealMemory=2000
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Started at once; `environment` is what its commands need."""

    def __init__(self, folder, ports):
        self.folder = Path(folder)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        config = self.folder / "slurm.conf"
        config.write_text(
            _CONFIG.format(
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                n_cpus=len(os.sched_getaffinity(0)),
                controller_port=ports[0],
                node_port=ports[1],
            )
        )
        self.environment = {"SLURM_CONF": str(config)}
        munged = [
            "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", f"--key-file={key}",
            f"--pid-file={self.folder}/munge.pid", f"--log-file={self.folder}/munge.log",
            f"--seed-file={self.folder}/seed",
        ]  # fmt: skip
        daemons = [munged, ["/usr/sbin/slurmctld", "-D", "-c"], [SLURMD, "-D", "-c"]]
        self.processes = [self._started(command) for command in daemons]
        self._wait_until_idle()

    def _started(self, command):
        with (self.folder / f"{Path(command[0]).name}.out").open("wb") as out:
            return subprocess.Popen(command, env=os.environ | self.environment, stdout=out, stderr=out)

    def _wait_until_idle(self, timeout_s=120):
        deadline_s = time.monotonic() + timeout_s
        while "idle" not in self.run("sinfo", "-h", "-o", "%T", check=False):
            logs = "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline_s, logs
            time.sleep(0.1)

    def run(self, *command, check=True):
        """Return what a command of Slurm's prints."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, check=check)
        return done.stdout

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(60)
