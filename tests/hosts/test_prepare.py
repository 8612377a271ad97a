"""A host that has nothing but Python, brought tuibench and a model through its launcher."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import tuibench
from tests.hosts.launchers import ROOT, cut_off_after, like_ssh
from tuibench.core.format import size
from tuibench.core.run.host import Host
from tuibench.measure.hosts.another_machine import AnotherMachine
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.measure.hosts.own_wheel import own_wheel
from tuibench.measure.hosts.prepare import prepare


@pytest.fixture
def host(tmp_path):
    """Behind what parses its words again; the libraries that tuibench needs are there, so that pip fetches nothing."""
    env = {
        "TUIBENCH_CACHE": str(tmp_path / "there, it's"), "PYTHONPATH": sysconfig.get_path("purelib"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
    }  # fmt: skip
    return Host(name="big", launcher=(like_ssh(tmp_path), "big"), env=env)


def there(host, *names):
    return Path(host.env["TUIBENCH_CACHE"]).joinpath(*names)


def test_the_wheel_has_what_is_installed_and_is_the_same_each_time():
    name, content = own_wheel("0123456789ab")
    assert own_wheel("0123456789ab") == (name, content)
    with zipfile.ZipFile(BytesIO(content)) as wheel:
        assert wheel.testzip() is None
        held = set(wheel.namelist())
        assert wheel.read("tuibench/_commit") == b"0123456789ab"
    package = Path(tuibench.__file__).parent
    modules = {f"tuibench/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert modules <= held
    assert any(entry.startswith("tuibench/_themes/") for entry in held)
    assert f"tuibench-{tuibench.__version__}.dist-info/entry_points.txt" in held


async def test_a_host_with_an_empty_home_is_prepared_through_sshd_and_nothing_is_sent_twice(
    server, tmp_path, host, tiny_llama
):
    home = tmp_path / "home, it's"
    home.mkdir()
    cache = home / ".cache" / "tuibench"
    env = {name: value for name, value in host.env.items() if name != "TUIBENCH_CACHE"} | {"HOME": str(home)}
    far = Host(name="big", launcher=tuple(server.launcher()), env=env)
    n_bytes = 300_000
    cut_off = Host(name="big", launcher=(cut_off_after(tmp_path), str(n_bytes), *server.launcher()), env=env)
    with pytest.raises(HostUnusableError, match="the connection is lost"):
        prepare(cut_off, tiny_llama, "0123456789ab", print)
    (part,) = (cache / "host-wheel").glob("*.part")
    n_there = part.stat().st_size
    assert n_bytes // 2 < n_there < n_bytes

    told = []
    prepare(far, tiny_llama, "0123456789ab", told.append)
    _, wheel = own_wheel("0123456789ab")
    assert f"tuibench: {size(len(wheel) - n_there)} sent" in told
    assert "verified there" in told[-1]
    assert not any((cache / "host-upload").iterdir())
    (commit,) = cache.glob("host-env/lib/python*/site-packages/tuibench/_commit")
    assert commit.read_text() == "0123456789ab"

    reached = AnotherMachine(far)
    try:
        await reached.connect(print)
        assert (await reached.model_directory(tiny_llama)).is_relative_to(cache / "models")
    finally:
        await reached.close()

    again = []
    prepare(far, tiny_llama, "0123456789ab", again.append)
    assert again == ["this tuibench is there already", f"the model {tiny_llama.name} is there already"]


def test_a_model_that_was_sent_in_part_is_sent_from_there(host, tiny_llama):
    ours = Host(name="big", launcher=host.launcher, python=sys.executable, env=host.env | {"PYTHONPATH": str(ROOT)})
    files = [path.stat().st_size for path in tiny_llama.directory.iterdir() if path.suffix in {".json", ".safetensors"}]
    weights = (tiny_llama.directory / "model.safetensors").read_bytes()
    part = there(host, "host-upload", tiny_llama.digest[:16], "model.safetensors.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(weights[: len(weights) // 2])
    told = []
    prepare(ours, tiny_llama, None, told.append)
    assert f": {size(sum(files) - len(weights) // 2)} sent" in told[-1]
    assert not part.parent.exists()


def test_what_arrives_damaged_is_refused_and_sent_anew_the_next_time(host, tiny_llama):
    ours = Host(name="big", launcher=host.launcher, python=sys.executable, env=host.env | {"PYTHONPATH": str(ROOT)})
    part = there(host, "host-upload", tiny_llama.digest[:16], "model.safetensors.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file")
    with pytest.raises(HostUnusableError, match="arrived damaged: prepare the host again"):
        prepare(ours, tiny_llama, None, print)
    told = []
    prepare(ours, tiny_llama, None, told.append)
    assert "verified there" in told[-1]


@pytest.mark.parametrize(
    ("launcher", "problem"),
    [
        (("no-such-launcher",), "no-such-launcher cannot be started"),
        (("sh", "-c", "echo no such thing >&2; exit 9"), "ended with exit code 9: no such thing"),
        (("sh", "-c", 'PATH=/nowhere exec /usr/bin/env "$@"', "sh"), "interpreter is not there"),
    ],
)
def test_a_host_that_cannot_be_prepared_says_why(launcher, problem, tiny_llama):
    with pytest.raises(HostUnusableError, match=problem):
        prepare(Host(name="big", launcher=launcher), tiny_llama, None, print)


def test_the_command_line_prepares_and_tells_each_step(tmp_path, tiny_llama, host):
    config = tmp_path / "config.toml"
    env = ", ".join(f'{name} = "{value}"' for name, value in (host.env | {"PYTHONPATH": str(ROOT)}).items())
    config.write_text(f'[hosts.big]\nlauncher = ["env"]\npython = "{sys.executable}"\nenv = {{ {env} }}\n')
    command = [sys.executable, "-m", "tuibench", "hosts", "prepare", "--model", str(tiny_llama.directory)]
    done = subprocess.run(
        command, env=os.environ | {"TUIBENCH_CONFIG": str(config)}, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1].startswith(f"big: the model {tiny_llama.name}: ")
    wrong = subprocess.run([*command[:5], "no-such-host"], env=os.environ, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "unknown host no-such-host" in wrong.stderr
