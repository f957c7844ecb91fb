"""Servers that die, disks that fill, credentials that are wrong or run out: told at the right call, nothing lost, and
healed without being asked."""

import datetime
import errno
import os
import signal
import subprocess
import threading

import pytest

from harness.files import random_bytes
from harness.process import SERVERS, run, wait_until
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20


@pytest.fixture
def mortal(own_server):
    """A server that dies and comes back with all that it had."""
    server = own_server("ceph")
    server.die = lambda: server.send_signal("rgw", signal.SIGKILL)
    server.revive = lambda: run(SERVERS / "ceph.sh", "restart-rgw", server.directory)
    return server


def test_a_server_that_dies_while_a_file_is_written(s3_case, mortal):
    case = s3_case(mortal, {"freshness": 0, "timeout": "4s"}, part_size="5M")
    case.put("old", b"old")
    case.settled()
    body = random_bytes(14 * MIB)
    with open(case.path / "big", "wb", buffering=0) as file:
        file.write(body[:12 * MIB])
        wait_until(lambda: case.counts().get("UploadPart"), message="a part sent before close")
        mortal.die()
        file.write(body[12 * MIB:])
        assert errno_of(lambda: os.fsync(file.fileno())) in (errno.EIO, errno.ETIMEDOUT)
        assert errno_of((case.path / "old").read_bytes) in (errno.EIO, errno.ETIMEDOUT)
        wait_until(lambda: case.state()["state"] == "down", message="the storage to be down")
        mortal.revive()
        wait_until(lambda: (case.path / "old").read_bytes() == b"old", message="the storage to heal")
        os.fsync(file.fileno())
    same_bytes(case.get("big"), body)
    assert case.parked() == [] and case.state()["state"] == "up"
    # The upload that the outage cut off was given up while nobody could be told.
    wait_until(lambda: case.unfinished() == [], message="the abort of what the outage cut off")


def test_a_server_that_is_back_in_time(s3_case, mortal):
    case = s3_case(mortal, {"freshness": LONG, "timeout": "2m"})
    case.settled()
    mortal.die()
    body, ended = random_bytes(MIB), []
    writer = threading.Thread(target=lambda: ended.append(errno_of(lambda: (case.path / "new").write_bytes(body))))
    writer.start()
    wait_until(lambda: case.state()["retries"] > 0, message="a second try")
    mortal.revive()
    writer.join(120)
    assert ended == [0]
    same_bytes(case.get("new"), body)


def test_what_could_not_be_stored_waits_in_the_recovery_directory(s3_case, mortal):
    case = s3_case(mortal, {"freshness": LONG, "timeout": "2s"})
    case.settled()
    mortal.die()
    body = random_bytes(MIB)
    assert errno_of(lambda: (case.path / "new").write_bytes(body)) in (errno.EIO, errno.ETIMEDOUT)
    (upload,) = wait_until(case.parked, message="the upload in the recovery directory")
    with open(upload["recovery_path"], "rb") as kept:
        same_bytes(kept.read(), body)
    assert "new" in case.mount.control("uploads").read_text() and upload["recovery_path"] in case.mount.log()
    mortal.revive()
    case.mount.remount()
    assert [parked["key"] for parked in case.parked()] == ["new"]
    run("cp", upload["recovery_path"], case.path / "new")
    same_bytes(case.get("new"), body)


def test_mounted_before_the_server_is_there(s3_case, mortal):
    case = s3_case(mortal, {"freshness": 0, "timeout": "2s"}, start=False)
    case.put("doc", b"content")
    mortal.die()
    case.mount.start()
    assert os.listdir(case.mount.point / "store") == [case.container]
    assert errno_of(lambda: os.listdir(case.path)) in (errno.EIO, errno.ETIMEDOUT)
    mortal.revive()
    wait_until(lambda: os.listdir(case.path) == ["doc"], message="the storage to heal")
    assert (case.path / "doc").read_bytes() == b"content"
    (case.path / "new").write_bytes(b"new")
    assert case.get("new") == b"new"


# --- disks

@pytest.fixture
def small_disk(tmp_path_factory):
    """A file system of 24 MiB for what is staged. Mounting one needs root."""
    if os.geteuid():
        pytest.skip("only root can mount a file system that is small")
    point = tmp_path_factory.mktemp("small")
    run("mount", "-t", "tmpfs", "-o", "size=24m", "small", point)
    yield point
    run("umount", point)


def test_a_full_staging_disk_is_told_to_the_writer(s3_case, ceph, small_disk):
    case = s3_case(ceph, {"freshness": LONG, "cache_dir": small_disk, "memory_limit": "16M"}, part_size="64M")
    case.settled()
    body = random_bytes(MIB)
    file = os.open(case.path / "big", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        error = errno_of(lambda: [os.write(file, body) for _ in range(100)])
        assert error == errno.ENOSPC
    finally:
        os.unlink(case.path / "big")
        os.close(file)
    # The kernel releases a closed file a moment later, and only then its staged bytes give way.
    wait_until(lambda: (case.path / "small").write_bytes(body), message="room in the staging directory")
    same_bytes(case.get("small"), body)
    assert case.keys() == ["small"]


def test_parts_that_are_sent_make_room(s3_case, ceph, small_disk):
    """Forward writing may be larger than the disk, as long as the parts go out; else the writer is told."""
    case = s3_case(ceph, {"freshness": LONG, "cache_dir": small_disk, "memory_limit": "16M"}, part_size="5M")
    case.settled()
    body = random_bytes(MIB)

    def write():
        with open(case.path / "big", "wb", buffering=0) as file:
            for _ in range(64):
                assert file.write(body) == MIB

    error = errno_of(write)
    assert error in (0, errno.ENOSPC)
    if not error:
        same_bytes(case.get("big"), body * 64)
    wait_until(lambda: (case.path / "small").write_bytes(body), message="room in the staging directory")
    same_bytes(case.get("small"), body)


# --- credentials

def test_a_wrong_secret_is_denied_and_explained(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0}, secret_access_key="WRONGSECRET")
    assert errno_of(lambda: os.listdir(case.path)) == errno.EACCES
    assert errno_of(lambda: (case.path / "new").write_bytes(b"x")) == errno.EACCES
    checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    said = checked.stdout + checked.stderr
    assert checked.returncode != 0 and "store" in said and "SignatureDoesNotMatch" in said
    assert "secret_access_key" in said, "the remedy is not named"
    assert "SignatureDoesNotMatch" in case.mount.log() and "store" in case.mount.log()
    assert "WRONGSECRET" not in said + case.mount.log()


def test_an_unknown_key_is_denied_and_explained(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0}, access_key_id="NOBODYSKEY")
    assert errno_of(lambda: os.listdir(case.path)) == errno.EACCES
    checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    assert checked.returncode != 0 and "access_key_id" in checked.stdout + checked.stderr


@pytest.fixture
def issuing(s3_case, ceph, tmp_path):
    """A case whose credentials come from a program that counts how often it is asked."""
    def make(life_s, options=None):
        calls = tmp_path / "calls"
        calls.write_text("")
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=life_s)
        script = tmp_path / "issue"
        script.write_text(f"#!/bin/sh\necho x >>'{calls}'\ncat <<E\n"
                          f'{{"Version": 1, "AccessKeyId": "{ceph.access_key}", "SecretAccessKey": "{ceph.secret_key}",\n'
                          f' "Expiration": "{expires:%Y-%m-%dT%H:%M:%SZ}"}}\nE\n')
        script.chmod(0o700)
        profile = tmp_path / "config"
        profile.write_text(f"[profile issued]\ncredential_process = {script}\nregion = default\n")
        case = s3_case(ceph, options or {"freshness": 0}, environment={"AWS_CONFIG_FILE": str(profile)}, profile="issued",
                       access_key_id=None, secret_access_key=None)
        return case, lambda: len(calls.read_text().splitlines())

    return make


def test_a_program_gives_the_credentials_once(issuing):
    case, calls = issuing(3600)
    case.settled()
    for turn in range(10):
        (case.path / "doc").write_bytes(str(turn).encode())
    assert case.get("doc") == b"9" and calls() == 1


def test_credentials_that_end_soon_are_not_asked_for_at_every_request(issuing):
    """A program may hand out what it keeps itself until a minute before its end: asking again gives nothing newer."""
    case, calls = issuing(120)
    case.settled()
    for turn in range(10):
        (case.path / "doc").write_bytes(str(turn).encode())
    assert case.get("doc") == b"9" and calls() <= 4


@pytest.mark.parametrize("code, status", [("ExpiredToken", 400), ("InvalidToken", 400), ("ExpiredToken", 403)])
def test_credentials_that_have_expired_are_renewed(issuing, code, status):
    case, calls = issuing(3600)
    case.settled()
    before = calls()
    with case.proxy.faults({"operation": "PutObject", "count": 1, "status": status, "body": f"<Error><Code>{code}</Code></Error>"}):
        (case.path / "doc").write_bytes(b"content")
    assert case.get("doc") == b"content" and calls() == before + 1


def test_a_clock_that_is_wrong_is_learned(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG})
    case.settled()
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=3)
    skewed = {"status": 403, "body": "<Error><Code>RequestTimeTooSkewed</Code></Error>",
              "headers": {"Date": f"{now:%a, %d %b %Y %H:%M:%S GMT}"}}
    with case.proxy.faults({"operation": "PutObject", "count": 1, **skewed}, {"operation": "PutObject", "count": 1, "status": 200}):
        errno_of(lambda: (case.path / "doc").write_bytes(b"content"))
        requests = [request for request in case.proxy.requests() if request["operation"] == "PutObject"]
    dates = [datetime.datetime.strptime(request["headers"]["x-amz-date"], "%Y%m%dT%H%M%SZ") for request in requests]
    assert (dates[1] - dates[0]) > datetime.timedelta(hours=2)


def test_a_program_that_fails_is_named(s3_case, ceph, tmp_path):
    profile = tmp_path / "config"
    profile.write_text("[profile broken]\ncredential_process = /bin/false\n")
    case = s3_case(ceph, {"freshness": 0, "timeout": "3s"}, environment={"AWS_CONFIG_FILE": str(profile)}, profile="broken",
                   access_key_id=None, secret_access_key=None)
    assert errno_of(lambda: os.listdir(case.path)) == errno.EACCES
    checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    assert checked.returncode != 0 and "credential_process" in checked.stderr + checked.stdout


def test_the_daemon_that_is_killed_leaves_nothing_half_done(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG}, part_size="5M")
    case.put("doc", b"before")
    case.settled()
    writer = subprocess.Popen(["sh", "-c", 'dd if=/dev/zero bs=1M count=20 status=none; sleep 100', "sh"],
                              stdout=os.open(case.path / "doc", os.O_WRONLY))
    wait_until(lambda: case.counts().get("UploadPart"), message="a part sent before close")
    case.mount.kill()
    writer.kill()
    writer.wait()
    assert case.get("doc") == b"before"
    case.mount.start()
    assert (case.path / "doc").read_bytes() == b"before"
