#!/usr/bin/env python3
"""Runs the workload table against storagefs and its peers; scripts/bench builds what this needs and calls it.

Contestants take turns inside each run, so that what else the machine does hits all of them alike; figures are to be
compared within one result only.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import contestants
import report
import rows
from endpoint import ForeignEndpoint, OwnEndpoint

PEERS = ("rclone", "s3fs")


class Measurement:
    """One action on one mounted contestant: what the actions of rows.py see, and the counters around it."""

    def __init__(self, tools, sizes, limit, endpoint, contestant, bucket, directory):
        self.tools, self.sizes, self.limit, self.endpoint = tools, sizes, limit, endpoint
        self.contestant, self.bucket, self.directory = contestant, bucket, directory

    # --- for actions

    def run(self, *words):
        return rows.command_output(words, self.limit)

    def workload(self, *words):
        return report.parse_json(self.run(self.tools / "workload", *words))

    def wait(self, arrived):
        """Until the server has it."""
        deadline = time.monotonic() + self.limit
        while not arrived():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not on the server within {self.limit} s")
            time.sleep(0.005)

    def wait_size(self, key, size):
        self.wait(lambda: self.endpoint.size(self.bucket, key) == size)

    def wait_count(self, count):
        self.wait(lambda: self.endpoint.count(self.bucket) >= count)

    def drop_caches(self):
        """What was written goes to disk first, so that it can be dropped too."""
        os.sync()
        drop_caches()

    # --- around actions

    def _cpu_seconds(self):
        if not self.contestant.pid:
            return 0.0
        fields = pathlib.Path(f"/proc/{self.contestant.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _peak_mib(self):
        if not self.contestant.pid:
            return 0.0
        status = pathlib.Path(f"/proc/{self.contestant.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def take(self, row):
        """Measures a row: value in its unit, and what it cost."""
        if self.endpoint:
            self.endpoint.reset()
        if self.contestant.pid:
            pathlib.Path(f"/proc/{self.contestant.pid}/clear_refs").write_text("5", encoding="utf-8")
        cpu, begin = self._cpu_seconds(), time.monotonic()
        value = row.action(self)
        result = {"value": value, "seconds": time.monotonic() - begin, "cpu_seconds": self._cpu_seconds() - cpu, "rss_mib": self._peak_mib()}
        if self.endpoint:
            stats = self.endpoint.stats()
            result.update(requests=stats["requests"], received_bytes=stats["received"], sent_bytes=stats["sent"])
        return result


def drop_caches():
    """The kernel forgets what it keeps of files and is not dirty; only root can."""
    with contextlib.suppress(PermissionError):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="utf-8")


def warm_memory(bench, session):
    """On a virtual machine a page that was free for long is fetched from the host at its first use, which costs several
    times the use itself and would fall to whoever comes first. A session of large objects uses more than one of small."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = 4 * bench.sizes.large if session.bucket == rows.LARGE else bench.sizes.large // 2
    rows.command_output([bench.tools / "workload", "touch", min(wanted, available // 2)], bench.limit)


def settle(endpoint, limit):
    """What a mount asks of its own accord is over: it is no part of the first row."""
    deadline = time.monotonic() + limit
    before, now = None, endpoint.stats()["requests"]
    while now != before and time.monotonic() < deadline:
        time.sleep(0.2)
        before, now = now, endpoint.stats()["requests"]


def rotated(contestants_in_order, steps):
    """Each comes first in turn: what the first finds (and what the one before it leaves) is not always the same one's."""
    steps %= len(contestants_in_order)
    return contestants_in_order[steps:] + contestants_in_order[:steps]


def measure_session(bench, session, contestant, wanted, endpoint):
    """All rows of a session on one contestant. Failures are results too: {"error": why}."""
    if endpoint:
        endpoint.set_latency(0)
        rows.prepare(endpoint, session.bucket, bench.sizes)
    error = None
    try:
        if not bench.options.tiny:
            drop_caches()
        warm_memory(bench, session)
        directory = contestant.mount(session.bucket)
        measurement = Measurement(bench.tools, bench.sizes, bench.limit, endpoint, contestant, session.bucket, directory)
        if endpoint:
            settle(endpoint, bench.limit)
            endpoint.set_latency(session.latency)
        for row in session.rows:
            result = measurement.take(row)
            if row in wanted:
                bench.results[row.name][contestant.label].append(result)
                bench.say(row, contestant.label, result)
    except (contestants.ContestantError, RuntimeError, OSError) as failure:
        error = f"{failure}"
        contestant.abandon()
    finally:
        with contextlib.suppress(contestants.ContestantError):
            contestant.unmount()
    if error:
        for row in (row for row in session.rows if row in wanted):
            done = bench.results[row.name][contestant.label]
            if len(done) < bench.run + 1:
                done.append({"error": error})
                bench.say(row, contestant.label, done[-1])


class Bench:
    """One call of scripts/bench."""

    def __init__(self, options):
        self.options = options
        self.tools = pathlib.Path(options.tools)
        self.binary = os.path.abspath(options.binary)
        self.limit = 60 if options.quick else 180
        self.run, self.ended = 0, ""
        self.results, self.skipped, self.rows = {}, {}, []
        self.sizes = rows.Sizes(large=1 << 24, small=50, small_late=20, random=50, ten=300, hundred=1200, million=2500) if options.tiny \
            else rows.Sizes()

    def say(self, row, label, result):
        figure = result.get("error") or f"{result['value']:.4g} {row.unit}"
        print(f"  {row.name:16} {label:22} {figure}", flush=True)

    def contestants_of(self, session, endpoint, work):
        """The subjects and the peers of a session, those that can be had."""
        options, base = self.options, self.local_base
        make = {"storagefs": lambda label: contestants.StorageFs(label, work / "subject", self.binary, endpoint),
                "storagefs, cache": lambda label: contestants.StorageFs(label, work / "cached", self.binary, endpoint, {"cache_size": "4G"}),
                "local": lambda label: contestants.StorageFsLocal(label, work / "local", self.binary, base),
                "local, no passthrough": lambda label: contestants.StorageFsLocal(label, work / "daemon", self.binary, base,
                                                                                  {"passthrough": "no"}),
                "directory": lambda label: contestants.Directory(work / "directory", base),
                "null filesystem": lambda label: contestants.NullFs(work / "nullfs", self.tools / "nullfs", self.sizes.large)}
        found = [make[label](label) for label in (*session.subjects, *session.against)]
        if session.against or not session.peers:
            if options.against:
                found.append(self.other(found[0], work))
            return found
        if options.against:
            found.append(self.other(found[0], work))
        cached = session.subjects == ("storagefs, cache",)
        if "rclone" in self.peers:
            found += [contestants.Rclone(work / f"rclone-{mode}", endpoint, mode) for mode in ("full", "writes") if mode == "full" or not cached]
        if "s3fs" in self.peers:
            found.append(contestants.S3fs(work / "s3fs", endpoint, cached))
        return found + self.limits_of(session, endpoint, work)

    def limits_of(self, session, endpoint, work):
        """The same loop without a file system: on the server, or on the disk below a cache. A foreign endpoint wants signatures."""
        if session.limit == "disk":
            return [contestants.DiskFile(work / "file", self.sizes.large)]
        if session.limit == "server" and endpoint.takes_bare_requests:
            return [contestants.BareClient(work / "bare", endpoint)]
        return []

    def other(self, subject, work):
        """The binary of --against in the place of ours."""
        binary = os.path.abspath(self.options.against)
        if isinstance(subject, contestants.StorageFsLocal):
            return contestants.StorageFsLocal("against", work / "against", binary, subject.base, subject.options, subject.keys)
        return contestants.StorageFs("against", work / "against", binary, subject.endpoint, subject.options, subject.keys)

    def choose(self):
        """The sessions that have a row which is wanted, and those rows."""
        latencies = [int(word) for word in self.options.latency.split(",")]
        for session in rows.sessions(latencies):
            if self.options.quick and any(row.name.endswith("-1m") for row in session.rows):
                continue
            wanted = tuple(row for row in session.rows if any(re.search(self.options.rows, name) for name in row.names))
            if wanted:
                yield session, wanted

    def missing(self, session, work):
        """Why a session cannot be measured with this binary, or nothing."""
        for label in session.subjects:
            key = {"storagefs, cache": "cache_size", "local, no passthrough": "passthrough"}.get(label)
            if key:
                value = "4G" if key == "cache_size" else "no"
                file = work / "probe.conf"
                file.write_text(f"[storagefs]\n{key} = {value}\nstate_dir = {work}/probe\n[storage probe]\ndriver = memory\n", encoding="utf-8")
                done = subprocess.run([self.binary, "check", "-c", file], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    return f"this storagefs has no {key}: {' '.join((done.stderr or done.stdout).split()) or f'check ended with code {done.returncode}'}"
        return None

    def find_peers(self):
        wanted = [] if self.options.peers == "none" else self.options.peers.split(",")
        self.peers = []
        for name in wanted:
            if name not in PEERS:
                sys.exit(f"bench: no peer {name}: {', '.join(PEERS)} or none")
            if shutil.which(name):
                self.peers.append(name)
            else:
                print(f"bench: {name} is not installed (apt-get install {name}); its columns stay empty", flush=True)

    def measure(self, endpoint, work):
        chosen = []
        for session, wanted in self.choose():
            why = self.missing(session, work)
            self.rows += [(row, session) for row in wanted]
            if why:
                self.skipped.update({row.name: why for row in wanted})
            else:
                chosen.append((session, wanted))
        for self.run in range(self.options.runs):
            print(f"run {self.run + 1} of {self.options.runs}", flush=True)
            for number, (session, wanted) in enumerate(chosen):
                found = self.contestants_of(session, endpoint, work)
                for row in session.rows:
                    for contestant in found:
                        self.results.setdefault(row.name, {}).setdefault(contestant.label, [])
                for contestant in rotated(found, self.run + number):
                    measure_session(self, session, contestant, wanted, endpoint if contestant.network else None)

    def fill_local(self):
        """The directory behind the local storages, with one large file."""
        bucket = self.local_base / rows.LARGE
        bucket.mkdir(parents=True)
        with open(bucket / "big", "wb") as file:
            content = os.urandom(1 << 20)
            for _ in range(self.sizes.large >> 20):
                file.write(content)

    def facts(self, endpoint):
        """What a reader needs to judge the figures."""
        def output(*words):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""
        source = pathlib.Path(__file__).resolve().parents[2]
        processor = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
                "command": re.sub(r" --output[= ]\S+", "", self.options.command or shlex.join(sys.argv)), "endpoint": endpoint.name,
                "commit": output("git", "-C", str(source), "describe", "--always", "--dirty"),
                "versions": {"storagefs": output(self.binary, "--version"),
                             **{name: output(name, "--version") for name in self.peers}},
                "machine": {"processors": os.cpu_count(), "model": processor[1] if processor else platform.machine(),
                            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
                            "kernel": platform.release().partition("-")[0]}}


def parse_options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures storagefs beside rclone mount and s3fs.")
    parser.add_argument("--quick", action="store_true", help="one run, without the million names: up to ten minutes on two processors")
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only the rows whose name matches this regular expression")
    parser.add_argument("--endpoint", action="append", metavar="URL",
                        help="an S3 endpoint instead of the server that is started here; keys in AWS_ACCESS_KEY_ID and "
                             "AWS_SECRET_ACCESS_KEY, region in AWS_REGION. Buckets named bench-* are made there and removed")
    parser.add_argument("--latency", default="0,10", metavar="MS,...", help="what is added to each request; 0 is the main table (default: 0,10)")
    parser.add_argument("--runs", type=int, metavar="N", help="how often everything is measured (default: 3, with --quick 1)")
    parser.add_argument("--peers", default=",".join(PEERS), metavar="LIST", help="rclone,s3fs or none (default: all that are installed)")
    parser.add_argument("--against", metavar="BINARY", help="another storagefs as a further contestant")
    parser.add_argument("--output", metavar="FILE", help="where the result goes as JSON, with an SVG beside it")
    parser.add_argument("--data", default="/dev/shm", metavar="DIRECTORY", help="where the server and the local storage keep their bytes")
    parser.add_argument("--tiny", action="store_true", help="sizes of the test of this program: the figures mean nothing")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--command", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 3)
    return options


def open_endpoint(bench, url):
    program = bench.tools / "s3server"
    if url is None:
        return OwnEndpoint(program, "-data", bench.options.data)
    keys = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not all(keys):
        sys.exit("bench: --endpoint needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return ForeignEndpoint(program, url, keys, os.environ.get("AWS_REGION", "us-east-1"))


def main():
    options = parse_options()
    # Ended from outside it still unmounts, removes what it has made, and tells what it knows.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for number, url in enumerate(options.endpoint or [None]):
        bench = Bench(options)
        bench.find_peers()
        if os.geteuid() != 0:
            print("bench: only root can drop the page cache: reads may be answered by it", flush=True)
        with open_endpoint(bench, url) as endpoint, tempfile.TemporaryDirectory(prefix="storagefs-bench-") as work, \
                tempfile.TemporaryDirectory(prefix="storagefs-bench-", dir=options.data) as base:
            bench.local_base = pathlib.Path(base) / "local"
            bench.fill_local()
            facts = bench.facts(endpoint)
            try:
                bench.measure(endpoint, pathlib.Path(work))
            except (KeyboardInterrupt, SystemExit):
                bench.ended = "ended from outside before all was measured"
            finally:
                endpoint.finish()
            document = report.document(bench, {**facts, **({"ended": bench.ended} if bench.ended else {})})
        print(report.text(document))
        if options.output:
            file = pathlib.Path(options.output)
            report.save(document, file if number == 0 else file.with_stem(f"{file.stem}-{number + 1}"))
        if bench.ended:
            sys.exit(f"bench: {bench.ended}")


if __name__ == "__main__":
    main()
