"""The dashboard in a browser: who is let in, and that it is the real program."""

import asyncio
import contextlib
import os
import sys

import aiohttp
import psutil
import pytest

from tuibench.cli import BAD_USAGE, main
from tuibench.cli.serve import HOST


@pytest.fixture
async def address(tmp_path):
    """The server's address, token included."""
    environment = {
        **os.environ,
        **{f"TUIBENCH_{name}": str(tmp_path / name) for name in ("SESSIONS", "CACHE", "CONFIG")},
    }
    environment.pop("TERM", None)
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tuibench", "serve", "--port", "0", stdout=asyncio.subprocess.PIPE, env=environment
    )
    url = (await asyncio.wait_for(server.stdout.readline(), 120)).decode().strip()
    async with client(url) as session:
        for _ in range(2400):  # it is printed just before the port is listened on
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get("/"):
                    break
            await asyncio.sleep(0.05)
    yield url
    left = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    await server.wait()
    psutil.wait_procs(left, timeout=120)


def client(url):
    # Cookies of an address without a name are thrown away by default.
    return aiohttp.ClientSession(base_url=url.partition("/?")[0], cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_nobody_gets_in_without_the_token(address):
    async with client(address) as session:
        for path in ("/", "/ws", "/static/js/textual.js", "/?token=wrong", "/download/x"):
            async with session.get(path, allow_redirects=False) as answer:
                assert answer.status == 403, path
                assert "textual" not in await answer.text()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
async def test_nobody_gets_in_from_another_page_or_by_another_name(address, headers):
    async with client(address) as session, session.get(address) as welcome:
        assert welcome.status == 200
        async with session.get("/", headers=headers) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect("/ws", headers=headers)


async def test_the_token_becomes_a_cookie_and_leaves_the_address(address):
    async with client(address) as session:
        async with session.get(address, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        async with session.get("/") as answer:
            page = await answer.text()
            assert "<html" in page.lower()
            assert "googleapis" not in page
            assert "xterm.css" in page
            assert "connect-src 'self' ws://" in answer.headers["Content-Security-Policy"]


async def test_a_visitor_sees_the_dashboard_and_its_end_ends_the_program(address, descendants):
    async with client(address) as session, session.get(address):
        others = descendants()
        socket = await session.ws_connect("/ws?width=120&height=40")
        seen = b""
        while b"Palette" not in seen:
            message = await socket.receive(timeout=120)
            assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, message
            if message.type is aiohttp.WSMsgType.BINARY:
                seen += message.data
        assert "╭".encode() in seen
        started = descendants() - others
        assert started
        await socket.close()
        gone, alive = await asyncio.to_thread(psutil.wait_procs, started, timeout=120)
        assert not alive, gone


def test_a_port_that_is_taken_is_told(capsys):
    import socket

    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == BAD_USAGE
    assert f"port {port}: Address already in use; choose another" in capsys.readouterr().err


def test_without_the_extra_the_command_to_install_it_is_told(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tuibench.cli.web_server", None)
    assert main(["serve", "--port", "0"]) == BAD_USAGE
    assert "pip install 'tuibench[serve]'" in capsys.readouterr().err
