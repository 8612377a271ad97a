from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

import pytest

from tuibench.models.local import ModelError
from tuibench.models.origin.fetch import HubSource
from tuibench.models.origin.pull import pull_from, pull_model
from tuibench.models.origin.sources import find_model

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """As much of the hub as a download needs, for one repository `owner/tiny`."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.lies: dict[str, bytes] = {}
        """What is sent instead of the announced content."""
        self.missing = ""
        self.status = 200
        self.fetched: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815 - as http.server looks for it

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def lfs(self, name):
        content = self.files[name]
        return {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}

    def answer(self, request):
        path = urlparse(request.path).path
        if self.status != 200:
            return self.send(request, b"{}", status=self.status)
        if path == "/api/models/owner/tiny":
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}  # noqa: S324
                | ({"lfs": self.lfs(name) | {"sha256": self.lfs(name)["oid"]}} if name.endswith("tensors") else {})
                for name, content in self.files.items()
            ]
            return self.send(request, json.dumps({"id": "owner/tiny", "sha": REVISION, "siblings": siblings}).encode())
        if path.startswith(f"/api/models/owner/tiny/tree/{REVISION}"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                | ({"lfs": self.lfs(name)} if name.endswith("tensors") else {})
                for name, content in self.files.items()
            ]
            return self.send(request, json.dumps(tree).encode())
        name = path.removeprefix(f"/owner/tiny/resolve/{REVISION}/")
        if name not in self.files or name == self.missing:
            return self.send(request, b"{}", status=404)
        if request.command == "GET":
            self.fetched.append(name)
        content = self.lies.get(name, self.files[name])
        return self.send(request, content, etag=hashlib.sha256(self.files[name]).hexdigest())

    def send(self, request, body, status=200, etag=None):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("X-Repo-Commit", REVISION)
        if status == 404:
            request.send_header("X-Error-Code", "RepoNotFound" if "/api/" in request.path else "EntryNotFound")
        if etag:
            request.send_header("ETag", f'"{etag}"')
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch, tiny_llama):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    server = Hub()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    server.files = {path.name: path.read_bytes() for path in tiny_llama.directory.iterdir()}
    yield server
    server.server.shutdown()


def test_model_is_downloaded_checked_and_named_by_its_id(hub, tiny_llama):
    hub.files |= {"onnx/model.safetensors": b"x", "pytorch_model.bin": b"pickle", "README.md": b"text"}
    progress = []
    model = pull_model("owner/tiny", progress.append)
    assert model.digest == tiny_llama.digest
    assert (model.name, model.source) == ("owner/tiny", "owner/tiny")
    assert find_model("owner/tiny") == model
    assert set(hub.fetched) == {path.name for path in tiny_llama.directory.iterdir()}
    assert any(report.label == "downloading from the hub" and report.done == report.total for report in progress)


def test_content_that_is_not_the_announced_is_refused(hub):
    weights = bytearray(hub.files["model.safetensors"])
    weights[-1] ^= 1
    hub.lies["model.safetensors"] = bytes(weights)
    with pytest.raises(ModelError, match=r"model\.safetensors arrived damaged"):
        pull_model("owner/tiny")
    assert find_model("owner/tiny") is None
    hub.lies.clear()
    assert pull_model("owner/tiny") == find_model("owner/tiny")


def test_broken_off_download_goes_on_where_it_stopped(hub):
    hub.missing = "model.safetensors"
    with pytest.raises(ModelError, match=r"the download broke off .*pull again to go on"):
        pull_model("owner/tiny")
    assert hub.fetched
    hub.missing = ""
    pull_model("owner/tiny")
    assert sorted(hub.fetched) == sorted(hub.files)  # none twice


def test_repository_with_pickles_only_is_refused_with_the_reason(hub):
    hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
    with pytest.raises(ModelError, match="only pickle weights, which can run any code"):
        pull_model("owner/tiny")
    assert hub.fetched == []


@pytest.mark.parametrize(
    ("status", "message"), [(404, "no such model, or it is private"), (503, "it refused .*; try again later")]
)
def test_refusal_of_the_hub_is_a_message(hub, status, message):
    hub.status = status
    with pytest.raises(ModelError, match=message):
        pull_from("owner/tiny", [HubSource("owner/tiny")], lambda _: None)
