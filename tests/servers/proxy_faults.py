"""What the rules' actions do to a reply: canned ones, lies about length and range, bodies that end early, late or never."""

import asyncio
import re

from proxy_http import Headers, Reply, text_body, whole


STALL_SECONDS = 300


class Abort(Exception):
    """End this client's connection by a reset."""


class Close(Exception):
    """End this client's connection in order."""


async def filler(length, fill=b"\xee"):
    block = fill * max(1, 65536 // len(fill))
    while length > 0:
        yield block[:length]
        length -= len(block)


async def joined(*bodies):
    for body in bodies:
        async for piece in body:
            yield piece


def canned(actions, request):
    text = actions.get("body", "<Error><Code>Injected</Code><Message>by a rule</Message></Error>").encode()
    headers = Headers(["Content-Type: application/xml", f"Content-Length: {len(text)}"])
    return Reply(actions["status"], "Injected", headers, text_body(text), request.method != "HEAD")


def without_range(reply):
    """A 206 turned into the 200 of a server that ignored Range."""
    match = re.match(r"bytes (\d+)-(\d+)/(\d+)$", reply.headers.get("content-range", ""))
    if reply.status == 206 and match:
        first, last, size = map(int, match.groups())
        reply.status, reply.reason = 200, "OK"
        reply.headers.set("Content-Range", None)
        reply.set_body(joined(filler(first), reply.body, filler(size - last - 1)), size)


async def stuck_page(reply):
    """The text of a listing's page, changed so that it promises more and never advances."""
    page = await whole(reply.body)
    page = re.sub(rb"<(IsTruncated|NextContinuationToken|NextMarker)>.*?</\1>", b"", page)
    keys = re.findall(rb"<Key>(.*?)</Key>", page)
    more = b"<IsTruncated>true</IsTruncated><NextContinuationToken>stuck</NextContinuationToken><NextMarker>%s</NextMarker>"
    return page.replace(b"</ListBucketResult>", more % (keys[0] if keys else b"") + b"</ListBucketResult>")


async def corrupted(body, offset):
    start = 0
    async for piece in body:
        if start <= offset < start + len(piece):
            piece = bytearray(piece)
            piece[offset - start] ^= 0xFF
        start += len(piece)
        yield bytes(piece)


async def shortened(body, limit, ending):
    """Passes `limit` bytes, then raises `ending`."""
    async for piece in body:
        if len(piece) > limit:
            yield piece[:limit]
            break
        limit -= len(piece)
        yield piece
    if ending is Abort:
        await asyncio.sleep(0.05)  # a reset would overtake the bytes before it
    raise ending


async def stalled(body, limit):
    """Passes `limit` bytes, and then nothing for longer than anybody waits."""
    async for piece in body:
        if len(piece) > limit:
            yield piece[:limit]
            break
        limit -= len(piece)
        yield piece
    await asyncio.sleep(STALL_SECONDS)
    raise Abort


async def blanks(seconds):
    """What a service sends while it works."""
    for _ in range(int(seconds / 0.3)):
        yield b" "
        await asyncio.sleep(0.3)


async def slowed(body, rate):
    step = max(1, min(4096, int(rate / 20)))
    async for piece in body:
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            yield part
            await asyncio.sleep(len(part) / rate)


async def apply(reply, rule):
    """Makes a reply into what the rule wants it to be."""
    actions = rule.actions if rule else {}
    await asyncio.sleep(actions.get("ttfb", 0))
    if "body" in actions and "status" not in actions:
        await whole(reply.body)
        text = actions["body"].encode()
        reply.set_body(text_body(text), len(text))
    if actions.get("ignore_range"):
        without_range(reply)
    if actions.get("repeat_page") and not rule.page and reply.status == 200:
        rule.page = await stuck_page(reply)
        reply.set_body(text_body(rule.page), len(rule.page))
    if "endless" in actions:
        reply.set_body(joined(reply.body, filler(actions["endless"], actions.get("fill", "x").encode())), None)
    if "content_length" in actions:
        if reply.headers.is_chunked():
            text = await whole(reply.body)
            reply.set_body(text_body(text), len(text))
        reply.headers.set("Content-Length", reply.headers.length() + actions["content_length"])
    for name, value in actions.get("headers", {}).items():
        reply.headers.set(name, value)
    if "corrupt" in actions:
        reply.body = corrupted(reply.body, actions["corrupt"])
    if "truncate" in actions:
        reply.body = shortened(reply.body, actions["truncate"], Close)
    elif "reset" in actions:
        reply.body = shortened(reply.body, actions["reset"], Abort)
    elif "stall" in actions:
        reply.body = stalled(reply.body, actions["stall"])
    if "rate" in actions:
        reply.body = slowed(reply.body, actions["rate"])
    if "blanks" in actions:
        reply.set_body(joined(blanks(actions["blanks"]), reply.body), None)
