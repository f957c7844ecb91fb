#!/usr/bin/python3
"""An HTTP proxy in front of one S3 endpoint that counts what passes and injects the faults that rules ask for.

  proxy.py --upstream HOST:PORT [--listen PORT] [--control PORT] [--latency SECONDS] [--tls FILE] [--host-suffix NAME]

Requests are passed on byte for byte, the Host header with them, so signatures stay valid. When it is ready, one line of
JSON on stdout names the ports (0, the default, lets the kernel choose). It ends by SIGTERM, or with the pipe on its
standard input. With --tls (certificate and key in one file) it serves https; the upstream is always http. --host-suffix
understands BUCKET.NAME as host.

The control port, on loopback too:
  GET  /stats      counts and bytes, see proxy_stats       GET /requests   the last requests, one by one
  GET  /log        which faults were injected where        POST /reset     counts and requests start at zero
  PUT  /rules      a JSON list, see proxy_rules            PUT  /latency   seconds before every request goes on
As a library: `proxy = Proxy(("127.0.0.1", 9000)); await proxy.start()`. Only the standard library is used.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import stat
import struct

from proxy_faults import Abort, Close, apply, canned, corrupted, slowed
from proxy_http import LAST_CHUNK, Headers, Reply, Request, chunked_body, body_until_end, fixed_body, framed, text_body
from proxy_rules import RuleError, Rules
from proxy_stats import Stats

BUFFER_BYTES = 1 << 20


def no_delay(writer):
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reset(writer):
    """Makes the close a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Connection:
    """One client's connection, and the upstream connection that belongs to it."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.upstream_reader = self.upstream_writer = None

    async def serve(self):
        no_delay(self.writer)
        self.proxy.stats.connections += 1
        try:
            while True:
                request = Request(await self.reader.readuntil(b"\r\n\r\n"), self.proxy.host_suffix)
                self.proxy.stats.begin(request)
                try:
                    await self.exchange(request)
                finally:
                    self.proxy.stats.end()
        except Abort:
            reset(self.writer)
        except (Close, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError):
            pass
        finally:
            self.writer.close()
            self.drop_upstream()

    async def exchange(self, request):
        rule = self.proxy.rules.pick(request)
        actions = rule.actions if rule else {}
        await asyncio.sleep(self.proxy.latency_s + actions.get("delay", 0))
        if "hang" in actions:
            await asyncio.sleep(actions["hang"])
            raise Abort
        if actions.get("reset") == -1:
            raise Abort
        if "status" in actions or (rule and rule.page):
            reply = await self.answer_alone(request, rule)
        else:
            reply = await self.ask(request, actions)
        await apply(reply, rule)
        await self.send(request, reply, actions)

    async def answer_alone(self, request, rule):
        if not request.expects_continue:
            async for piece in self.request_body(request):
                self.proxy.stats.sent(request, len(piece))
        if rule.page:
            reply = canned({"status": 200, "body": rule.page.decode()}, request)
        else:
            reply = canned(rule.actions, request)
        if request.expects_continue:
            reply.headers.set("Connection", "close")  # its body was not asked for
        return reply

    # --- towards the server

    async def ask(self, request, actions):
        await self.connect()
        self.upstream_writer.write(request.raw)
        await self.upstream_writer.drain()
        reply = None
        if request.expects_continue:
            reply = await self.read_reply(request)
            if reply.status == 100:
                self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                reply = None
        if reply is None:
            await self.pass_request_body(request, actions)
            reply = await self.read_reply(request)
            while reply.status == 100:
                reply = await self.read_reply(request)
        else:
            reply.headers.set("Connection", "close")  # as above
        if actions.get("drop_reply"):
            raise Abort
        return reply

    async def connect(self):
        if self.upstream_writer and self.upstream_reader.at_eof():
            self.drop_upstream()
        if self.upstream_writer is None:
            self.upstream_reader, self.upstream_writer = await asyncio.open_connection(*self.proxy.upstream, limit=BUFFER_BYTES)
            no_delay(self.upstream_writer)

    def drop_upstream(self):
        if self.upstream_writer:
            self.upstream_writer.close()
            self.upstream_writer = None

    def request_body(self, request):
        if request.headers.is_chunked():
            return chunked_body(self.reader)
        return fixed_body(self.reader, request.headers.length())

    async def pass_request_body(self, request, actions):
        left = actions.get("reset_upload")
        chunked = request.headers.is_chunked()
        body = self.request_body(request)
        if "corrupt_upload" in actions:
            body = corrupted(body, actions["corrupt_upload"])
        async for piece in body:
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            self.proxy.stats.sent(request, len(piece))
            await self.write_upstream(framed(piece) if chunked else piece)
            if left == 0:
                reset(self.upstream_writer)
                raise Abort
        if chunked:
            await self.write_upstream(LAST_CHUNK)

    async def write_upstream(self, data):
        # A server may answer and close before it has read everything; its answer is still worth passing on.
        with contextlib.suppress(ConnectionError):
            self.upstream_writer.write(data)
            await self.upstream_writer.drain()

    async def read_reply(self, request):
        raw = await self.upstream_reader.readuntil(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        _, status, reason = (lines[0] + " ").split(" ", 2)
        headers, status = Headers(lines[1:]), int(status)
        if request.method == "HEAD" or status in (100, 204, 304):
            return Reply(status, reason.strip(), headers, text_body(b""), False)
        if headers.is_chunked():
            body = chunked_body(self.upstream_reader)
        elif "content-length" in headers:
            body = fixed_body(self.upstream_reader, headers.length())
        else:
            body = body_until_end(self.upstream_reader)
        return Reply(status, reason.strip(), headers, body)

    # --- towards the client

    async def send(self, request, reply, actions):
        stats = self.proxy.stats
        stats.replied(request, reply.status)
        ends = (not reply.headers.is_chunked() and "content-length" not in reply.headers) or "content_length" in actions
        closes = actions.get("close") or (reply.has_body and ends)
        if closes:
            reply.headers.set("Connection", "close")
        head = text_body(reply.head())
        async for piece in slowed(head, actions["head_rate"]) if "head_rate" in actions else head:
            self.writer.write(piece)
            await self.writer.drain()
        if reply.has_body:
            chunked = reply.headers.is_chunked()
            async for piece in reply.body:
                stats.received(request, len(piece))
                self.writer.write(framed(piece) if chunked else piece)
                await self.writer.drain()
            if chunked:
                self.writer.write(LAST_CHUNK)
        await self.writer.drain()
        if closes or "close" in reply.headers.get("connection", "").lower():
            raise Close


class Control:
    """The control port: a request, a JSON answer, the end."""

    def __init__(self, proxy):
        self.proxy = proxy

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ValueError, OSError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            body = await reader.readexactly(Headers(lines[1:]).length())
            status, answer = self.answer(lines[0].rsplit(" ", 1)[0], body)
            text = json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()
        writer.close()

    def answer(self, request, body):
        proxy = self.proxy
        try:
            if request == "GET /stats":
                return 200, proxy.stats.as_dict()
            if request == "GET /requests":
                return 200, list(proxy.stats.requests)
            if request == "GET /log":
                return 200, proxy.rules.log
            if request == "POST /reset":
                proxy.stats.reset()
            elif request == "PUT /rules":
                proxy.rules.replace(json.loads(body))
            elif request == "PUT /latency":
                proxy.latency_s = float(body)
            else:
                return 404, f"no such request: {request}"
        except (RuleError, ValueError) as error:
            return 400, str(error)
        return 200, "ok"


class Proxy:
    """upstream is (host, port). After start(), port and control_port are the ports that it listens on."""

    def __init__(self, upstream, latency_s=0.0, tls_file=None, host_suffix=None):
        self.upstream, self.latency_s, self.host_suffix = upstream, latency_s, host_suffix
        self.stats, self.rules = Stats(), Rules()
        self.tls = None
        if tls_file:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(tls_file)
        self.servers = []

    async def start(self, port=0, control_port=0):
        async def client(reader, writer):
            await Connection(self, reader, writer).serve()

        self.servers = [
            await asyncio.start_server(client, "127.0.0.1", port, limit=BUFFER_BYTES, ssl=self.tls, backlog=512),
            await asyncio.start_server(Control(self).serve, "127.0.0.1", control_port, limit=BUFFER_BYTES),
        ]
        self.port, self.control_port = (server.sockets[0].getsockname()[1] for server in self.servers)

    def close(self):
        for server in self.servers:
            server.close()


async def until_ended():
    """Waits for SIGTERM, SIGINT, or the end of a standard input that is a pipe: its other end is who started us."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, lambda: os.read(0, 1) or ended.set())
    await ended.wait()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--listen", type=int, default=0, metavar="PORT")
    parser.add_argument("--control", type=int, default=0, metavar="PORT")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--tls", metavar="FILE", help="certificate and key")
    parser.add_argument("--host-suffix", metavar="NAME")
    options = parser.parse_args()
    host, _, port = options.upstream.rpartition(":")
    proxy = Proxy((host, int(port)), options.latency, options.tls, options.host_suffix)
    await proxy.start(options.listen, options.control)
    print(json.dumps({"port": proxy.port, "control_port": proxy.control_port}), flush=True)
    await until_ended()


if __name__ == "__main__":
    asyncio.run(main())
