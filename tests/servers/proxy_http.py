"""HTTP/1.1 as the proxy needs it: heads that keep their spelling, and bodies as asynchronous pieces without framing."""

import asyncio

from proxy_stats import operation_of, split_target

PIECE_BYTES = 1 << 18
MAX_KEPT_BYTES = 16 << 20
LAST_CHUNK = b"0\r\n\r\n"


class Headers:
    """Header fields in their order and spelling; names compare without case."""

    def __init__(self, lines):
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line]

    def get(self, name, default=None):
        return next((value for field, value in self.fields if field.lower() == name), default)

    def __contains__(self, name):
        return self.get(name) is not None

    def set(self, name, value):
        """Replaces or adds a field; None removes it."""
        self.fields = [field for field in self.fields if field[0].lower() != name.lower()]
        if value is not None:
            self.fields.append((name, str(value)))

    def is_chunked(self):
        return "chunked" in self.get("transfer-encoding", "").lower()

    def length(self):
        return int(self.get("content-length", "0"))

    def text(self):
        return "".join(f"{name}: {value}\r\n" for name, value in self.fields)


class Request:
    """The head of a request, and the raw bytes it came as."""

    def __init__(self, raw, host_suffix):
        lines = raw.decode("latin-1").split("\r\n")
        self.raw = raw
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = Headers(lines[1:])
        self.bucket, self.key, parameters = split_target(self.target, self.headers.get("host", ""), host_suffix)
        self.operation = operation_of(self.method, self.bucket, self.key, parameters, "x-amz-copy-source" in self.headers)
        self.expects_continue = "100-continue" in self.headers.get("expect", "").lower()


class Reply:
    """The head of a reply and its body: pieces of payload, without the framing."""

    def __init__(self, status, reason, headers, body, has_body=True):
        self.status, self.reason, self.headers, self.body, self.has_body = status, reason, headers, body, has_body

    def head(self):
        return f"HTTP/1.1 {self.status} {self.reason}\r\n{self.headers.text()}\r\n".encode("latin-1")

    def set_body(self, body, length):
        """Replaces the body; length None: it ends with the connection."""
        self.body = body
        self.headers.set("Transfer-Encoding", None)
        self.headers.set("Content-Length", length)


async def fixed_body(reader, length):
    while length:
        piece = await reader.read(min(length, PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(piece)
        yield piece


async def chunked_body(reader):
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return
        async for piece in fixed_body(reader, size):
            yield piece
        await reader.readexactly(2)


async def body_until_end(reader):
    while piece := await reader.read(PIECE_BYTES):
        yield piece


async def text_body(text):
    if text:
        yield text


def framed(piece):
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def whole(body):
    """All of a body that has to be kept in memory."""
    kept = bytearray()
    async for piece in body:
        kept += piece
        if len(kept) > MAX_KEPT_BYTES:
            raise ValueError("the body is too long to be kept")
    return bytes(kept)
