import shlex
import subprocess
import sys

import pytest

from tests.hosts.launchers import like_ssh
from tuibench.core.run.control import control_of, is_control, method_of
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.host import Host, HostError, host_of, hosts_of, on_host, without_host

AWKWARD = ("it's", 'a "quoted" word', "$HOME", "a;b", "*", "back\\slash", "", "line\nend", "ü")


def arrived(launcher, **options):
    host = Host(name="big", launcher=launcher, **options)
    show = "import sys; sys.stdout.write('\\0'.join(sys.argv[1:]))"
    done = subprocess.run(
        host.command(sys.executable, "-c", show, *AWKWARD), capture_output=True, text=True, check=True
    )
    return tuple(done.stdout.rpartition("!\n")[2].split("\0"))


def test_words_arrive_as_they_are_however_many_shells_parse_them(tmp_path):
    ssh = like_ssh(tmp_path)
    assert arrived(("env",)) == AWKWARD
    assert arrived((ssh, "big")) == AWKWARD
    assert arrived((ssh, "gate", ssh, "big")) == AWKWARD
    assert arrived((ssh, "big", "env", "A=1")) == AWKWARD
    assert arrived(("sh", "-c", 'exec sh -c "$*"', "sh"), shells=1) == AWKWARD


def test_a_module_is_run_with_the_hosts_interpreter_and_variables():
    host = Host(name="big", launcher=("ssh", "big"), python="my env/bin/python", env={"A": "b c"})
    assert shlex.split(" ".join(host.module("tuibench")[2:])) == [
        "env", "A=b c", "my env/bin/python", "-m", "tuibench"
    ]  # fmt: skip


def test_the_environment_that_was_prepared_goes_before_what_is_on_the_path(tmp_path):
    host = Host(name="big", launcher=("env",), env={"TUIBENCH_CACHE": str(tmp_path)})
    there = tmp_path / "host-env" / "bin" / "python"
    there.parent.mkdir(parents=True)
    there.write_text('#!/bin/sh\necho "prepared $*"\n')
    there.chmod(0o755)
    assert subprocess.check_output(host.module("this"), text=True) == "prepared -m this\n"
    there.unlink()
    assert "Beautiful is better than ugly" in subprocess.check_output(host.module("this"), text=True)


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ({"name": "local"}, "host name"),
        ({"name": "a@b"}, "host name"),
        ({"launcher": ()}, "launcher is empty"),
        ({"python": " "}, "python is empty"),
        ({"price_per_hour": 0.0}, "above 0"),
        ({"price_per_hour": float("nan")}, "above 0"),
        ({"env": {"A": "\0"}}, "NUL"),
    ],
)
def test_a_host_that_cannot_be_used_says_why(description, problem):
    with pytest.raises(HostError, match=problem):
        Host(**{"name": "big", "launcher": ("env",), **description}).check()


def test_a_row_tells_its_host_and_its_method():
    row = on_host(control_of("kv-cache"), "big")
    assert (row, host_of(row), without_host(row), method_of(row)) == (
        "kv-cache again@big", "big", "kv-cache again", "kv-cache"
    )  # fmt: skip
    assert is_control(row)
    assert on_host("kv-cache", None) == without_host("kv-cache") == "kv-cache"
    assert hosts_of(["a@big", "b", "b@big"]) == ("big", None)
    server = "endpoint:localhost@1"
    assert (host_of(server), is_endpoint(server)) == (None, True)
