"""The server dies by SIGKILL while threads write, over and over, and comes back: what was acknowledged over the wire is there,
byte for byte; what was not is as before or as it was to be. Who waits long enough sees no error; the mounts stay.

STORAGEFS_TEST_SERVER_KILLS kills instead of the usual number, STORAGEFS_TEST_SEED another seed.
"""

import collections
import errno
import json
import os
import pathlib
import random
import signal
import time
import urllib.parse

from checking import same_in_mount, same_on_server, settle
from harness.figures import count, long_run
from harness.process import SERVERS, Errands, wait_until
from harness.s3 import LONG
from manifest import Manifest
from writers import Writers

KILLS = long_run("SERVER_KILLS", 3)
SEED = long_run("SEED", 1)
PART = "5M"


class Written:
    """A mount of its own, with threads that write to it. Not patient: its calls give up before the server is back."""

    def __init__(self, case, name, is_patient=True):
        self.case, self.name, self.is_patient = case, name, is_patient
        self.is_journalled = name == "journal"
        self.manifest, self.doubted = Manifest(), collections.defaultdict(list)
        self.asked = collections.defaultdict(list)  # what was asked of each upload in parts, by its id, and how it was answered
        self.unanswered = collections.Counter()  # by key: beginnings of such uploads that got no answer
        self.writers = Writers(case.path, self.manifest, f"{SEED}/{name}", threads=3, folders=is_patient, large=12,
                               ends=(errno.EIO, errno.ETIMEDOUT))
        os.listdir(case.path)

    def end(self):
        self.writers.ending.set()
        self.writers.join(120)
        assert not self.writers.failures, (self.name, self.writers.failures)
        assert not (self.is_patient and self.manifest.doubts), f"{self.name}: a call failed although the server came back in time"

    def note_uploads(self):
        for request in self.case.proxy.requests():
            address = urllib.parse.urlsplit(request["target"])
            for upload in urllib.parse.parse_qs(address.query).get("uploadId", []):
                self.asked[upload].append((request["operation"], request["status"]))
            if request["operation"] == "CreateMultipartUpload" and not (request["status"] and request["received"]):
                self.unanswered[urllib.parse.unquote(address.path).removeprefix(f"/{self.case.container}/")] += 1
        self.case.proxy.reset()

    def left_uploads(self):
        """Those that should have been aborted, with their histories. Not of them: as many of a key, of which nothing was asked,
        as beginnings of an upload of that key were never answered, because nobody can know their ids."""
        self.note_uploads()
        left, unknown = {}, collections.Counter()
        for upload in self.case.client.list_multipart_uploads(Bucket=self.case.container).get("Uploads", []):
            key, history = upload["Key"], self.asked[upload["UploadId"]]
            unknown[key] += not history
            if history or unknown[key] > self.unanswered[key]:
                left[upload["UploadId"]] = (key, history)
        return left

    def check(self, when):
        if self.is_journalled:
            settle(self.case)
        same_on_server(self.case, self.manifest, f"{self.name}, {when}")
        same_in_mount(self.case, self.manifest, f"{self.name}, {when}")
        for doubt in self.manifest.doubts:
            for name, (_, after) in doubt.contents.items():
                self.doubted[name].append(after)
        self.manifest.grow_older()


def kill_while_writing(server, errands, mounts, numbers):
    """The impatient fail while it is dead; the others wait for it."""
    for one in mounts:
        one.writers.start()
    time.sleep(numbers.uniform(0.1, 1.0))
    impatient = [one for one in mounts if not one.is_patient]
    for one in impatient:
        one.writers.ending.set()
    server.send_signal("rgw", signal.SIGKILL)
    for one in impatient:
        one.end()
    errands.run(SERVERS / "ceph.sh", "restart-rgw", server.directory)
    time.sleep(numbers.uniform(0.1, 0.5))
    for one in mounts:
        one.end()
        one.note_uploads()


def check_kept(written):
    """What an impatient close could not store is in the recovery directory, just as it was to be stored: all of it, or,
    where the rest is in the storage and could not be fetched, the ranges that its description names."""
    parked = written.case.parked()
    for upload in parked:
        path = pathlib.Path(upload["recovery_path"])
        kept, info = path.read_bytes(), json.loads(path.with_name(path.name + ".info").read_text())
        ranges = [(0, len(kept))] if info["complete"] else info["valid_ranges"]
        assert any(len(kept) == len(wanted) and all(kept[start:end] == wanted[start:end] for start, end in ranges)
                   for wanted in written.doubted[upload["key"]] if wanted is not None), (upload, info)
    return len(parked)


def test_what_was_acknowledged_survives_the_server(s3_case, own_server):
    server = own_server("ceph")
    wait = {"freshness": LONG, "timeout": "2m"}
    mounts = [Written(s3_case(server, wait, folders=True, part_size=PART), "storage"),
              Written(s3_case(server, wait, folders=True, part_size=PART, durability="journal"), "journal"),
              Written(s3_case(server, {"freshness": LONG, "timeout": "1s"}, part_size=PART), "impatient", is_patient=False)]
    numbers = random.Random(f"{SEED}/server")
    with Errands() as errands:
        for number in range(KILLS):
            kill_while_writing(server, errands, mounts, numbers)
            for one in mounts:
                wait_until(lambda one=one: os.listdir(one.case.path) is not None, message="the storage to heal")
                one.check(f"after kill {number}, seed {SEED}")
    assert sum(map(check_kept, mounts)), "every close was in time"
    for one in mounts:
        if one.is_patient:
            settle(one.case)
        deadline = time.monotonic() + 30
        while (left := one.left_uploads()) and time.monotonic() < deadline:
            time.sleep(1)
        assert not left, f"{one.name}: nobody has aborted these"
        assert one.manifest.acknowledged > KILLS, "the writers have hardly written"
        count(f"server killed, {one.name}", kills=KILLS, acknowledged=one.manifest.acknowledged, operations=one.writers.operations)
