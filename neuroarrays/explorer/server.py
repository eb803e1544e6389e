"""The explorer on an address of this machine, for the browser."""

from __future__ import annotations

import html
import logging
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import panel as pn
from tornado.websocket import WebSocketClosedError

from neuroarrays.errors import NeuroArraysError
from neuroarrays.explorer.layout import text_line
from neuroarrays.explorer.page import Page
from neuroarrays.explorer.recording import Recording, one_line

#: The port that is taken where none is asked for and it is free.
PORT = 5006
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_server(recording: Recording, host: str = "127.0.0.1", port: int | None = None) -> Any:
    """A server of pages over one recording, not started; port 0 is any free one, None 5006 or any free one."""
    port = free_port(host, port)

    def page() -> Any:
        try:
            shown = Page(recording)
        except Exception as error:  # of a recording that changed on disk
            return text_line(html.escape(one_line(error)))
        location = pn.state.location
        if location is not None:
            location.param.watch(lambda event: shown.follow(event.new), "hash")
        if pn.state.curdoc is not None:
            shown.listen(pn.state.curdoc)
        pn.state.onload(shown.begin)
        return shown.parts.page

    return pn.io.server.get_server(
        {"/": page},
        port=port,
        address=host,
        title="neuroarrays",
        show=False,
        start=False,
        websocket_origin=sorted(f"{name}:{port}" for name in names_of(host)),
        sign_sessions=True,
        secret_key=secrets.token_urlsafe(32).encode(),
    )


def names_of(host: str) -> set[str]:
    """The names in addresses of pages that may talk to a server on `host`: its own, and no others."""
    if host in LOOPBACK:
        return {"[::1]" if host == "::1" else host, "localhost", "127.0.0.1"}
    own = {socket.gethostname()}
    if host not in ("0.0.0.0", "::"):
        return {host, *own}
    with suppress(OSError):  # a name that no service knows
        addresses = socket.getaddrinfo(socket.gethostname(), None)
        own |= {f"[{a[4][0]}]" if ":" in str(a[4][0]) else str(a[4][0]) for a in addresses}
    return {*own, "localhost", "127.0.0.1"}


def free_port(host: str, port: int | None) -> int:
    """A port that can be listened on."""
    for wanted in [PORT, 0] if port is None else [port]:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, wanted))
            except OSError as error:
                reason = f"port {wanted} of {host} cannot be used ({error.strerror})"
                continue
            return int(probe.getsockname()[1])
    raise NeuroArraysError(f"{reason}: give another one with --port, or 0 for any that is free")


def serve(
    recording: Recording, host: str, port: int | None, browser: bool, say: Callable[[str], None]
) -> None:
    """Serve pages until Ctrl-C, in a browser if one is wanted; `say` prints a line."""
    server = make_server(recording, host, port)
    every = host in ("0.0.0.0", "::")
    name = "localhost" if host in LOOPBACK else socket.gethostname() if every else host
    address = f"http://{name}:{server.port}/"
    say(f"{address}  (Ctrl-C stops it)")
    if host in LOOPBACK:
        say(
            f"from another machine: ssh -N -L {server.port}:localhost:{server.port} "
            f"{os.environ.get('USER', 'you')}@{socket.gethostname()}, then open that address there"
        )
    else:
        say(f"whoever reaches {name}:{server.port} sees this recording")
    server.start()
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    server.io_loop.asyncio_loop.set_exception_handler(_failed)
    if browser and not webbrowser.open(address):
        say("no browser could be opened here: open the address in one")
    with suppress(KeyboardInterrupt):
        server.io_loop.start()
    server.stop()
    say("stopped")


def _failed(loop: Any, context: dict[str, Any]) -> None:
    """Say what failed in the loop, but that a page was closed while it was drawn is no failure."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)
