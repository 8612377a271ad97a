import subprocess
import sys

import pytest

from tests.permissions import obey_modes
from tuibench.config import Config, load_config, save_theme
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.host import Host


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config" / "config.toml"


def written(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_no_file_means_the_defaults(file):
    loaded = load_config(file)
    assert loaded.config == Config()
    assert loaded.problems == ()


def test_everything_that_is_set_is_read(file):
    text = 'theme = "paper"\ncolor = "256"\nglyphs = "ascii"\nmouse = false\nlow_bandwidth = true\n'
    loaded = load_config(written(file, f'{text}[keys]\n"run.start" = "f6"\n'))
    expected = Config(
        theme="paper", color="256", glyphs="ascii", mouse=False, low_bandwidth=True, keys={"run.start": "f6"}
    )
    assert loaded.config == expected


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("thme = 'paper'", ("thme", "no such setting", "low_bandwidth")),
        ("theme = 3", ("theme", "str")),
        ("color = 'many'", ("color", "many")),
        ("[keys]\na = 1", ("keys", "str")),
    ],
)
def test_a_wrong_key_is_named_and_the_others_count(file, line, parts):
    loaded = load_config(written(file, f"mouse = false\n{line}\n"))
    assert loaded.config == Config(mouse=False)
    (problem,) = loaded.problems
    assert problem.startswith("config.toml: ")
    assert "\n" not in problem
    for part in parts:
        assert part in problem


@pytest.mark.parametrize("content", [b"mouse = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(file, content):
    written(file, "").write_bytes(content)
    loaded = load_config(file)
    assert loaded.config == Config()
    assert loaded.problems[0].startswith("config.toml: not read")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    assert "cannot be read" in load_config(tmp_path).problems[0]


def test_a_theme_is_saved_into_a_new_file(file):
    save_theme(file, "paper")
    assert load_config(file).config.theme == "paper"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_saved_theme_leaves_the_rest_of_the_file_alone(file):
    written(file, '# mine\nmouse = false\n\n[keys]\ntheme = "f6"\n')
    save_theme(file, 'odd "name"')
    save_theme(file, "paper")
    assert file.read_text() == 'theme = "paper"\n# mine\nmouse = false\n\n[keys]\ntheme = "f6"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"theme = 'old'  # at home\nmouse = false\n", b'theme = "paper"  # at home\nmouse = false\n'),
        (b"mouse = false\n  theme='old'\n", b'mouse = false\n  theme="paper"\n'),
        (b"'theme' = 'old'", b"'theme' = \"paper\""),
        (b"# theme = 'old'\nmouse = false\n", b"theme = \"paper\"\n# theme = 'old'\nmouse = false\n"),
        (b'[keys]\ntheme = "f6"\n', b'theme = "paper"\n[keys]\ntheme = "f6"\n'),
        (b'glyphs = """\ntheme = 1\n"""\n', b'theme = "paper"\nglyphs = """\ntheme = 1\n"""\n'),
        (b'theme = """\nold\n"""\nmouse = false', b'theme = "paper"\nmouse = false'),
        (b"# mine\r\ntheme = 'old' # it\r\n[keys]\r\n", b'# mine\r\ntheme = "paper" # it\r\n[keys]\r\n'),
        (b"# mine\r\nmouse = false\r\n", b'theme = "paper"\r\n# mine\r\nmouse = false\r\n'),
        (b"\xef\xbb\xbf# mine\ntheme = 'old'\n", b'\xef\xbb\xbf# mine\ntheme = "paper"\n'),
        (b"\xef\xbb\xbfmouse = false\n", b'\xef\xbb\xbftheme = "paper"\nmouse = false\n'),
        (b"", b'theme = "paper"\n'),
    ],
    ids=[
        "comment", "indented", "quoted", "commented-out", "tables", "in-a-string", "lines", "crlf", "crlf-new", "mark",
        "mark-new", "empty",
    ],
)  # fmt: skip
def test_a_saved_theme_changes_nothing_but_the_theme(file, before, after):
    written(file, "").write_bytes(before)
    save_theme(file, "paper")
    assert file.read_bytes() == after
    assert load_config(file).config.theme == "paper"


def test_a_link_to_the_settings_stays_one_and_the_mode_stays(file, tmp_path):
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("mouse = false\n")
    kept.chmod(0o640)
    file.parent.mkdir()
    file.symlink_to(kept)
    save_theme(file, "paper")
    assert file.is_symlink()
    assert kept.read_text() == 'theme = "paper"\nmouse = false\n'
    assert kept.stat().st_mode & 0o777 == 0o640


def test_a_read_only_file_stays_as_it_is(file):
    written(file, "theme = 'old'\n").chmod(0o444)
    script = "import sys, pathlib, tuibench.config as c; c.save_theme(pathlib.Path(sys.argv[1]), 'paper')"
    ended = subprocess.run(
        [sys.executable, "-c", script, file], preexec_fn=obey_modes, stderr=subprocess.PIPE, text=True, check=False
    )
    assert "PermissionError: [Errno 13] it is read-only" in ended.stderr
    assert file.read_text() == "theme = 'old'\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_theme_is_not_saved_into_a_broken_file(file):
    written(file, "mouse = ")
    with pytest.raises(ValueError, match="Invalid"):
        save_theme(file, "paper")
    assert file.read_text() == "mouse = "


def test_a_file_with_a_byte_order_mark_is_read_and_takes_a_theme(file):
    written(file, "\ufeffmouse = false\n")
    assert load_config(file).config == Config(mouse=False)
    save_theme(file, "paper")
    assert load_config(file).config == Config(mouse=False, theme="paper")


def test_servers_are_read_by_name(file):
    table = '[endpoints.mine]\nurl = "https://example.org/v1"\nmodel = "m"\napi = "chat"\nkey_env = "MY_KEY"\n'
    loaded = load_config(written(file, table))
    assert loaded.problems == ()
    expected = Endpoint(name="mine", url="https://example.org/v1", model="m", api="chat", key_env="MY_KEY")
    assert loaded.config.servers == (expected,)
    assert expected.method == "endpoint:mine"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('url = "https://example.org/v1"', "model"),
        ('url = "https://example.org/v1"\nmodel = "m"\nkey = "sk-secret"', "key"),
        ('url = "https://me:sk-secret@example.org/v1"\nmodel = "m"', "a user, a password or a query"),
        ('url = "https://example.org/v1"\nmodel = "m"\nkey_env = "sk-secret"', "never the key itself"),
        ('url = "example.org"\nmodel = "m"', "is not a URL"),
    ],
)
def test_a_server_that_cannot_be_asked_is_left_out_and_named_without_its_secrets(file, table, said):
    good = '[endpoints.good]\nurl = "http://127.0.0.1:8080/v1"\nmodel = "m"\n'
    loaded = load_config(written(file, f"{good}[endpoints.odd]\n{table}\n"))
    assert [server.name for server in loaded.config.servers] == ["good"]
    (problem,) = loaded.problems
    assert problem.startswith("config.toml: endpoints.odd: ")
    assert said in problem
    assert "sk-secret" not in problem


HOST = '[hosts.big]\nlauncher = ["ssh", "-T", "me@big"]\nenv = { A = "b" }\nprice_per_hour = 2.1\n'


def test_hosts_are_read(file):
    (host,) = load_config(written(file, HOST)).config.machines
    assert host == Host(name="big", launcher=("ssh", "-T", "me@big"), env={"A": "b"}, price_per_hour=2.1)


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("[hosts.small]\n", "launcher"),
        ('[hosts.small]\nlauncher = "ssh small"\n', "array"),
        ("[hosts.small]\nlauncher = []\n", "launcher is empty"),
        ('[hosts.local]\nlauncher = ["env"]\n', "host name"),
        ('[hosts.small]\nlauncher = ["env"]\nport = 22\n', "port"),
    ],
)
def test_a_host_that_cannot_be_used_is_left_out_with_the_reason(file, table, part):
    loaded = load_config(written(file, HOST + table))
    assert [host.name for host in loaded.config.machines] == ["big"]
    (problem,) = loaded.problems
    assert problem.startswith("config.toml: hosts.")
    assert part in problem
