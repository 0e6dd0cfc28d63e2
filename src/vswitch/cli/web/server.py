"""`vswitch web`: the page's server. It asks the switch as any tool does, from a process of its own.

Nothing is served without the token where one is set, which it always is beyond the loopback interface;
and no request is served whose Host header names another machine, so that no foreign page can reach it
through a name that it lets point here. Without `--control` nothing that a request says changes anything.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vswitch.base.unixctl import CommandError
from vswitch.cli import processes
from vswitch.cli.errors import CliError
from vswitch.cli.exporter import collector, parse_listen
from vswitch.cli.look import asker
from vswitch.cli.ofctl.switch import OfctlError, SwitchError
from vswitch.cli.sample import Ask
from vswitch.cli.web import control, trace
from vswitch.cli.web.database import DatabaseWatch
from vswitch.cli.web.datapath import DatapathHistory
from vswitch.cli.web.pace import Paced
from vswitch.cli.web.tables import PAGE, FlowTables, QueryError
from vswitch.cli.web.topology import Topology
from vswitch.daemon.process import Pidfile, rundir

COOKIE: Final = "vswitch_token"
HEADERS: Final = {
    # The hash is that of the one style element that cytoscape makes.
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; style-src 'self' "
    "'sha256-pgvDUBa4IjFA2yuSJ2cqcyxmNYJMborsd0ORcRv9vw8='",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MAX_BRIDGES: Final = 64
"""Bridges whose flows are kept; the one looked at longest ago goes first."""

Answer = Callable[[Request], Awaitable[Response]]


class Page:
    """What the routes answer with: one of each source, shared by all who look."""

    def __init__(self, target: str, may_control: bool, max_ports: int) -> None:
        self.database = DatabaseWatch()
        self.may_control = may_control
        self._target = target
        topology = Topology(self.database, self._ask)
        self._topology = Paced(lambda: topology.now(time.monotonic()))
        self._datapath = Paced(DatapathHistory(self._ask).now)
        self._tables: dict[str, FlowTables] = {}
        self._seen = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector(target, max_ports))

    def _ask(self) -> Ask:
        return asker(self._target)

    def topology(self, _request: Request) -> Any:
        """/api/topology: a change of the configuration shows at once, counters as they are cheap."""
        if self._seen != self.database.changes:
            self._seen = self.database.changes
            self._topology.forget()
        return {**self._topology(), "control": self.may_control}

    def datapath(self, _request: Request) -> Any:
        """/api/datapath"""
        return self._datapath()

    def flows(self, request: Request) -> Any:
        """/api/flows?bridge=&table=&match=&sort=&offset=&limit="""
        query = request.query_params
        tables = self._of(query.get("bridge", ""))
        table = query.get("table", "")
        return tables.page(
            _number(table, "table") if table else None,
            query.get("match", ""),
            query.get("sort", "rate"),
            _number(query.get("offset", "0"), "offset"),
            _number(query.get("limit", str(PAGE)), "limit"),
        )

    def _of(self, bridge: str) -> FlowTables:
        """Only names of bridges that there are: an OpenFlow target would be a way to anywhere."""
        if bridge not in {b["name"] for b in self._topology()["bridges"]}:
            raise QueryError(f"{bridge or 'nothing'}: no such bridge")
        tables = self._tables.pop(bridge, None) or FlowTables(bridge)
        self._tables[bridge] = tables
        while len(self._tables) > MAX_BRIDGES:
            self._tables.pop(next(iter(self._tables)))
        return tables

    def trace(self, request: Request) -> Any:
        """/api/trace?bridge=&flow=: the steps and the text."""
        query = request.query_params
        text = self._ask()("ofproto/trace", query.get("bridge", ""), query.get("flow", ""))
        return {**trace.steps(text), "text": text}

    def metrics(self) -> bytes:
        """/metrics"""
        return generate_latest(self._registry)

    def control(self, words: Any) -> Any:
        """/api/control: carry out one of `control.ACTIONS`. QueryError."""
        if not self.may_control:
            raise QueryError("this page was started without --control")
        said = control.carry_out(self._ask(), words)
        self._topology.forget()
        for tables in self._tables.values():
            tables.forget()
        return {"said": said}


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise QueryError(f"{what}={text}: not a number")
    return int(text)


def _json(fn: Callable[[Request], Any]) -> Answer:
    """A route that answers with the value of `fn`, which may block; what went wrong as {"error": TEXT}."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(fn, request))
        except (QueryError, CommandError, OfctlError, SwitchError) as error:
            return JSONResponse({"error": str(error) or "refused"}, 400)
        except (CliError, OSError) as error:
            return JSONResponse({"error": str(error)}, 503)

    return answer


class Guard(BaseHTTPMiddleware):
    """Lets through who has the token, and asks for this machine by a name that it was given."""

    def __init__(self, app: Any, token: str, hosts: frozenset[str]) -> None:
        super().__init__(app)
        self._token = token
        self._hosts = hosts

    async def dispatch(self, request: Request, call_next: Answer) -> Response:
        """Serve, or refuse with 401 (no token) or 421 (another host)."""
        name = request.url.hostname or ""
        if not _is_address(name) and name not in self._hosts:
            return PlainTextResponse("not a name of this machine\n", 421)
        if self._token and not self._allowed(request):
            return PlainTextResponse("the token is missing or wrong\n", 401)
        if self._token and "token" in request.query_params and request.method == "GET":
            kept = RedirectResponse(str(request.url.remove_query_params("token")), 303)
            kept.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return kept
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    def _allowed(self, request: Request) -> bool:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        shown = (
            request.query_params.get("token", ""),
            request.cookies.get(COOKIE, ""),
            bearer.strip() if kind.lower() == "bearer" else "",
        )
        return any(hmac.compare_digest(s.encode(), self._token.encode()) for s in shown)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def application(page: Page, token: str, hosts: frozenset[str]) -> Starlette:
    """The ASGI application."""

    async def metrics(_request: Request) -> Response:
        return Response(await run_in_threadpool(page.metrics), media_type=CONTENT_TYPE_LATEST)

    async def act(request: Request) -> Response:
        # A form of another page can't set this header (Fetch standard, "CORS-safelisted request-header").
        if request.headers.get("x-vswitch") != "1":
            return JSONResponse({"error": "the header X-Vswitch: 1 is missing"}, 403)
        try:
            words = await request.json()
        except ValueError:
            return JSONResponse({"error": "not JSON"}, 400)
        return await _json(lambda _request: page.control(words))(request)

    return Starlette(
        routes=[
            Route("/api/topology", _json(page.topology)),
            Route("/api/flows", _json(page.flows)),
            Route("/api/datapath", _json(page.datapath)),
            Route("/api/trace", _json(page.trace)),
            Route("/api/control", act, methods=["POST"]),
            Route("/metrics", metrics),
            Mount("/", StaticFiles(directory=str(files("vswitch.cli.web") / "static"), html=True)),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
    )


def _pidfile() -> Pidfile:
    path = str(rundir() / f"{processes.PAGE}.pid")
    try:
        return Pidfile(path)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}") from error


def serve(
    target: str, listen: str, token: str, may_control: bool, max_ports: int, pidfile: bool
) -> None:
    """Serve the page until SIGTERM or Ctrl-C. CliError: a wrong address, or one that is taken."""
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise CliError(f"--listen {error}") from error
    if not token and not ipaddress.ip_address(host).is_loopback:
        token = secrets.token_urlsafe(18)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(128)
        except OSError as error:
            raise CliError(f"--listen {listen}: {error.strerror or error}") from error
        if pidfile:
            locked = _pidfile()
        page = Page(target, may_control, max_ports)
        try:
            app = application(page, token, frozenset(("localhost", socket.gethostname())))
            config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
            shown = f"[{host}]" if ":" in host else host
            query = f"/?token={token}" if token else "/"
            print(f"serving http://{shown}:{sock.getsockname()[1]}{query}", flush=True)
            uvicorn.Server(config).run(sockets=[sock])
        finally:
            page.database.close()
            if pidfile:
                locked.close()
    finally:
        sock.close()
