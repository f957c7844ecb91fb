"""The S3 endpoints that a benchmark runs against: a server of our own, or a foreign one behind our counting proxy.

    with OwnEndpoint(program) as endpoint:                    # or ForeignEndpoint(program, url, credentials)
        endpoint.ensure("bench-small", "f%06d", count=1000, size=4096)
        endpoint.set_latency(10)
        endpoint.reset()
        ...                                                   # mount endpoint.url with endpoint.credentials
        endpoint.stats()                                      # {"requests": {...}, "received": bytes, "sent": bytes}

What these classes ask themselves is neither counted nor delayed.
"""

import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import urllib.parse
import xml.etree.ElementTree


class EndpointError(Exception):
    """The endpoint did not do what a benchmark needs of it."""


def exchange(url, method, path, headers=None, body=b""):
    """One request on a connection of its own: status and body."""
    parts = urllib.parse.urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


class Counted:
    """Our program in front: `url` is what clients mount."""

    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise EndpointError(f"{program} did not start")

    def control(self, method, action, **query):
        """What the program's own control answers; see s3server/control.go."""
        text = urllib.parse.urlencode(query)
        status, body, _ = exchange(self.url, method, f"/-/{action}?{text}")
        if status != 200:
            raise EndpointError(f"{action} {text}: {status} {body.decode().strip()}")
        return body

    def set_latency(self, milliseconds):
        self.control("POST", "latency", ms=milliseconds)

    def reset(self):
        self.control("POST", "reset")

    def stats(self):
        return json.loads(self.control("GET", "stats"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class OwnEndpoint(Counted):
    """A server that keeps all in memory."""

    name = "own server"
    takes_bare_requests = True
    credentials = ("bench-key", "bench-secret")

    def ensure(self, bucket, name, count, size):
        """Objects of this printf format are there; those that are already are not made again."""
        if int(self.control("GET", "count", bucket=bucket)) < count or self.size(bucket, name % 0 if "%" in name else name) != size:
            self.control("POST", "fill", bucket=bucket, name=name, count=count, size=size)

    def size(self, bucket, key):
        return int(self.control("GET", "size", bucket=bucket, key=key))

    def count(self, bucket):
        return int(self.control("GET", "count", bucket=bucket))

    def clear(self, bucket):
        """The bucket is there, and empty."""
        self.control("POST", "clear", bucket=bucket)

    def delete(self, bucket, key):
        exchange(self.url, "DELETE", f"/{bucket}/{key}")

    def finish(self):
        """Nothing is left to tidy: all of it ends with the server."""


class ForeignEndpoint(Counted):
    """Any other service, in path style and signature version 4."""

    takes_bare_requests = False

    def __init__(self, program, target, credentials, region):
        super().__init__(program, "-proxy", target)
        self.target, self.credentials, self.region, self.name = target.rstrip("/"), credentials, region, target
        self.known, self.made = set(), set()

    def _signature(self, now, scope, text):
        key = ("AWS4" + self.credentials[1]).encode()
        for word in scope.split("/"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        return hmac.new(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}".encode(),
                        hashlib.sha256).hexdigest()

    def request(self, method, path, query=None, body=b"", allowed=()):
        """A signed request straight to the service. Raises EndpointError for what is neither 2xx nor in `allowed`."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(body).hexdigest()
        path = urllib.parse.quote(path)
        words = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in sorted((query or {}).items()))
        host = urllib.parse.urlsplit(self.target).netloc
        names = "host;x-amz-content-sha256;x-amz-date"
        text = f"{method}\n{path}\n{words}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n\n{names}\n{digest}"
        headers = {"Host": host, "x-amz-date": now, "x-amz-content-sha256": digest,
                   "Authorization": f"AWS4-HMAC-SHA256 Credential={self.credentials[0]}/{scope}, SignedHeaders={names}, "
                                    f"Signature={self._signature(now, scope, text)}"}
        status, answer, response = exchange(self.target, method, path + ("?" + words if words else ""), headers, body)
        if not 200 <= status < 300 and status not in allowed:
            raise EndpointError(f"{method} {path}: {status} {answer[:300].decode(errors='replace')}")
        return status, answer, response

    def keys(self, bucket):
        after, keys = "", []
        while True:
            query = {"list-type": "2", **({"start-after": after} if after else {})}
            _, answer, _ = self.request("GET", f"/{bucket}", query, allowed=(404,))
            page = [node.text for node in xml.etree.ElementTree.fromstring(answer).iter() if node.tag.endswith("}Key")]
            keys += page
            if not page or b"<IsTruncated>true" not in answer:
                return keys
            after = page[-1]

    def ensure(self, bucket, name, count, size):
        if (bucket, name) in self.known:
            return
        self.make(bucket)
        there = set(self.keys(bucket))
        wanted = [name % i for i in range(count)] if "%" in name else [name]
        content = os.urandom(1 << 20) * (size // (1 << 20)) if size >= 1 << 20 else os.urandom(size)
        with concurrent.futures.ThreadPoolExecutor(16 if size < 1 << 20 else 1) as pool:
            list(pool.map(lambda key: self.request("PUT", f"/{bucket}/{key}", body=content),
                          [key for key in wanted if key not in there or self.size(bucket, key) != size and size >= 1 << 20]))
        self.known.add((bucket, name))

    def size(self, bucket, key):
        status, _, headers = self.request("HEAD", f"/{bucket}/{key}", allowed=(404,))
        return int(headers["Content-Length"]) if status == 200 else -1

    def count(self, bucket):
        return len(self.keys(bucket))

    def make(self, bucket):
        """The bucket is there; one that somebody else made is kept at the end."""
        status, _, _ = self.request("HEAD", f"/{bucket}", allowed=(404,))
        if status == 404:
            self.request("PUT", f"/{bucket}")
            self.made.add(bucket)

    def clear(self, bucket):
        self.make(bucket)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: self.request("DELETE", f"/{bucket}/{key}"), self.keys(bucket)))

    def delete(self, bucket, key):
        self.request("DELETE", f"/{bucket}/{key}", allowed=(404,))

    def finish(self):
        """Removes the buckets that were made here."""
        for bucket in self.made:
            self.clear(bucket)
            self.request("DELETE", f"/{bucket}")
