"""The web server: textual-serve's, for whoever holds the token and nobody else."""

from __future__ import annotations

import re
import secrets

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

_FOREIGN_LINK = re.compile(r"<link\b[^>]*\bhref=\"https:[^>]*>")

# The terminal takes keys once somebody has clicked on it; whoever opens the page wants to type at once.
_FOCUS = """<script>
(() => {
  const focus = () => {
    const terminal = document.querySelector(".xterm-helper-textarea");
    if (terminal) terminal.focus();
    return terminal;
  };
  if (focus()) return;
  const observer = new MutationObserver(() => { if (focus()) observer.disconnect(); });
  observer.observe(document.body, {childList: true, subtree: true});
})();
</script>
</body>"""


class DashboardServer(Server):
    """Serves a command to browsers.

    Binding to the loopback keeps other machines out, but not other users of this one, nor a page in the browser that
    talks to local ports: each request must carry the token, come to our own name, and not from a foreign page.
    """

    def __init__(self, command: str, host: str, port: int, token: str) -> None:
        super().__init__(command, host=host, port=port, title="tuibench")
        self._token = token
        self._cookie = f"tuibench-{port}"  # browsers do not tell ports apart
        self._names = {f"{host}:{port}", f"localhost:{port}"}

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        app.on_response_prepare.append(self._policy)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: the command line has told the address, token included."""

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            origin = request.headers.get("Origin")
            foreign = origin is not None and origin.removeprefix("http://") not in self._names
            if foreign or request.host not in self._names:
                raise web.HTTPForbidden(text="this page is for the machine it runs on")
            if self._knows(request.query.get("token")):
                # Out of the address line, the history and what may be sent on as a referrer.
                response = web.HTTPFound("/")
                response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
                raise response
            if not self._knows(request.cookies.get(self._cookie)):
                raise web.HTTPForbidden(text="open the whole address that `tuibench serve` has printed, token included")
            return await handler(request)

        return guard

    def _knows(self, token: str | None) -> bool:
        return token is not None and secrets.compare_digest(token.encode(), self._token.encode())

    async def handle_index(self, request: web.Request) -> web.Response:
        """Return the page, without the font that it would ask another machine for; its terminal has the focus."""
        page: web.Response = await super().handle_index(request)  # type: ignore[assignment] # a dict, by its type
        page.text = _FOREIGN_LINK.sub("", page.text or "").replace("</body>", _FOCUS)
        return page

    async def _policy(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page load nothing from elsewhere, whatever the next version of its template asks for."""
        response.headers["Content-Security-Policy"] = (
            "default-src 'self' 'unsafe-inline' data: blob:; "
            f"connect-src 'self' ws://{request.host}; frame-ancestors 'none'"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
