"""What getting to a machine costs: decode speed and start through ssh and srun on the loopback, against direct.

    python -m tests.bench.host_overhead MODEL_DIR [--rounds 5] [--method kv-cache]

One session for each way and round, the ways in turns. Wants a quiet machine, a model of the cache, sshd and Slurm
(Debian's `slurm-wlm munge`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from statistics import median

from tests.slurm import Slurm
from tests.ssh_server import SshServer, free_port
from tuibench.core.run.host import Host, on_host
from tuibench.core.run.spec import RunSpec
from tuibench.measure.hosts.connection import Connection
from tuibench.measure.run.measurement import Measurement
from tuibench.models.folder import open_folder

ROOT = Path(__file__).parents[2]


async def decode_tps(spec: RunSpec, model, folder: Path) -> list[float]:
    measurement = Measurement(spec, model, folder)
    async with aclosing(measurement.events()) as events:
        async for _ in events:
            pass
    trials = [trial for trial in measurement.session().trials if not trial.warmup]
    assert not any(trial.failed for trial in trials), trials[-1].failure_message
    return [len(trial.step_ns) * 1e9 / sum(trial.step_ns) for trial in trials]


async def start_s(host: Host) -> float:
    connection = Connection(host, lambda _: None)
    began_s = time.perf_counter()
    await connection.open()
    took_s = time.perf_counter() - began_s
    await connection.close()
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--method", default="kv-cache")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = open_folder(options.model_dir)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slurm").mkdir()
        (folder / "ssh").mkdir()
        ssh, slurm = SshServer(folder / "ssh"), Slurm(folder / "slurm", (free_port(), free_port()))
        os.environ.update(slurm.environment)
        launchers = {
            "direct": ("env",),
            "ssh": tuple(ssh.launcher()),
            "srun": ("srun", "-n1", f"-c{options.threads}", "--cpu-bind=cores"),
        }
        env = {"PYTHONPATH": str(ROOT), "TUIBENCH_CACHE": str(folder / "cache"), "TUIBENCH_LOCK": str(folder / "lock")}
        (folder / "cache" / "models").mkdir(parents=True)
        (folder / "cache" / "models" / options.model_dir.name).symlink_to(options.model_dir.resolve())
        hosts = [Host(name=way, launcher=words, python=sys.executable, env=env) for way, words in launchers.items()]
        speeds: dict[str, list[float]] = {way: [] for way in launchers}
        starts: dict[str, list[float]] = {way: [] for way in launchers}
        try:
            for number in range(options.rounds):
                for host in hosts if number % 2 == 0 else reversed(hosts):
                    spec = RunSpec(
                        model=model.name,
                        methods=(on_host(options.method, host.name),),
                        prompt="Explain in a few sentences how a KV-cache makes decoding faster.",
                        n_threads=options.threads,
                        threads_of_hosts={host.name: options.threads},
                        hosts=(host,),
                    )
                    starts[host.name].append(asyncio.run(start_s(host)))
                    speeds[host.name] += asyncio.run(decode_tps(spec, model, folder / "sessions"))
        finally:
            slurm.close()
            ssh.close()
    for way in launchers:
        ratio = median(speeds[way]) / median(speeds["direct"])
        later_s = median(starts[way]) - median(starts["direct"])
        print(f"{way:8} decode {median(speeds[way]):.2f} tok/s, ratio to direct {ratio:.4f}; start {later_s:+.2f} s")


if __name__ == "__main__":
    main()
