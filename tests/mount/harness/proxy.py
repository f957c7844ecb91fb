"""The proxy of tests/servers/proxy.py as an object of a test.

It runs as a process of its own: a test that waits for the kernel inside mmap holds Python's lock meanwhile.
"""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request

from harness import figures
from harness.process import SERVERS


class Counts(dict):
    """Requests per S3 operation; an operation that did not happen is 0."""

    def __missing__(self, operation):
        return 0


class CountingProxy:
    """In front of upstream ("HOST:PORT"): endpoint to use instead, counts, rules. Use it in `with`, or stop() it."""

    def __init__(self, upstream, latency=0.0, tls_file=None, host_suffix=None):
        command = [sys.executable, "-B", SERVERS / "proxy.py", "--upstream", upstream, "--latency", str(latency)]
        command += ["--tls", tls_file] if tls_file else []
        command += ["--host-suffix", host_suffix] if host_suffix else []
        # Its standard input is a pipe of ours: when we die, it ends.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the proxy did not start: code {self.process.wait()}")
        ports = json.loads(line)
        self.port, self.control_port = ports["port"], ports["control_port"]
        self.endpoint = f"{'https' if tls_file else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _control(self, method, path, data=None):
        url = f"http://127.0.0.1:{self.control_port}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)) from error

    def stats(self):
        """All counts since the last reset, as proxy_stats.py describes them."""
        return self._control("GET", "/stats")

    def counts(self):
        """Requests per S3 operation since the last reset: proxy.counts()["PutObject"]."""
        return Counts((name, entry["count"]) for name, entry in self.stats()["operations"].items())

    def bytes_sent(self):
        """Bytes of bodies towards the server since the last reset."""
        return self.stats()["total"]["sent"]

    def bytes_received(self):
        """Bytes of bodies from the server since the last reset."""
        return self.stats()["total"]["received"]

    def requests(self):
        """The last requests, each with method, target, operation, range, headers (and
        `credential`, the scope it was signed for), status, sent, received."""
        return self._control("GET", "/requests")

    def reset(self):
        self._control("POST", "/reset")

    def set_latency(self, seconds):
        self._control("PUT", "/latency", str(seconds).encode())

    def set_rules(self, *rules):
        """These faults instead of the present ones, see proxy_rules.py; a misspelt one is a ValueError."""
        if figures.is_wanted() and (faults := len(self.injected())):
            figures.count("requests spoiled by the proxy", faults=faults)
        self._control("PUT", "/rules", json.dumps(rules).encode())

    def injected(self):
        """What the present rules have done: assert on it, so that no test passes without its fault."""
        return self._control("GET", "/log")

    @contextlib.contextmanager
    def faults(self, *rules):
        """The rules hold inside `with`; on leaving it, at least one must have applied."""
        self.set_rules(*rules)
        try:
            yield self
            assert self.injected(), f"none of the faults happened: {rules}"
        finally:
            self.set_rules()
