from pathlib import Path

import pytest

from tests.hosts.places import Place, Program
from tests.scripted_methods import provide, save_toy_model
from tests.slurm import SLURMD, Slurm
from tests.ssh_server import SSHD, SshServer, free_port
from tuibench.models.folder import open_folder


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    assert Path(SSHD).exists(), "needs openssh-server"
    one = SshServer(tmp_path_factory.mktemp("sshd"))
    yield one
    one.close()


@pytest.fixture(scope="package")
def slurm(tmp_path_factory):
    assert Path(SLURMD).exists(), "needs slurm-wlm and munge"
    one = Slurm(tmp_path_factory.mktemp("slurm"), (free_port(), free_port()))
    yield one
    one.close()


@pytest.fixture(params=["ssh", "srun"])
def far(request, tmp_path, tiny_llama, monkeypatch):
    """A program and the one host that it knows."""
    if request.param == "ssh":
        launcher, environment = request.getfixturevalue("server").launcher(), {}
    else:
        launcher, environment = ["srun", "-n1", "-c1", "--cpu-bind=cores"], request.getfixturevalue("slurm").environment
    place = Place(tmp_path, "big", launcher, price_per_hour=2.0)
    program = Program(tmp_path, tiny_llama, [place], monkeypatch, environment)
    yield program
    for process in place.processes():
        process.kill()


@pytest.fixture(scope="package")
def toy(tmp_path_factory):
    """A model and the environment of a method that needs no model library."""
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(folder / "cache"))
        return open_folder(save_toy_model(folder / "toy-model")), provide(folder / "installed")
