"""durability = journal: what is closed is safe on the local disk, whatever the server does, and is stored in the end."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness.files import fails_with, random_bytes, read_tree
from harness.process import run, wait_until
from harness.s3 import LONG, STORAGE, same_bytes

MIB = 1 << 20
WRITES = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "CopyObject"]
REFUSED = {"operation": WRITES, "status": 503}


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, {"freshness": LONG, "timeout": "4s"}, durability="journal")
    made.settled()
    return made


def uploads(case, *states):
    """What the status shows in these states, or all."""
    return [upload for upload in case.mount.status()["uploads"] if not states or upload["state"] in states]


def wait_stored(case):
    """Until nothing waits any more; what has failed is tried at once."""
    case.mount.command("sync", case.mount.point)
    wait_until(lambda: uploads(case) == [], message="an empty journal")


def journal_files(case):
    return sorted(path.name for path in (case.mount.directory / "state" / "journal").iterdir() if path.name != "lock")


def crash(case):
    """The daemon is killed, and mounted again."""
    case.mount.kill()
    case.mount.start()


def test_close_returns_while_the_server_refuses(case):
    small, big = b"small", random_bytes(6 * MIB)
    case.proxy.set_rules(REFUSED)
    (case.path / "small").write_bytes(small)
    with open(case.path / "big", "wb") as file:
        file.write(big)
        file.flush()
        os.fsync(file.fileno())
    assert {upload["key"] for upload in uploads(case, "waiting", "publishing")} == {"small", "big"}
    assert (case.path / "small").read_bytes() == small
    assert sorted(os.listdir(case.path)) == ["big", "small"] and case.keys() == []
    wait_until(lambda: any(upload["last_error"] for upload in uploads(case)), message="an attempt that failed")
    assert case.mount.status()["journal"]["waiting"] == 2
    case.proxy.set_rules()
    wait_stored(case)
    same_bytes(case.get("big"), big)
    assert case.get("small") == small and journal_files(case) == []


def test_close_returns_while_the_server_is_silent(case):
    with case.proxy.faults({"operation": WRITES, "hang": 60}):
        (case.path / "note").write_bytes(b"here")
        wait_until(lambda: case.proxy.injected(), message="a request that gets no answer")
        assert (case.path / "note").read_bytes() == b"here"
    wait_stored(case)
    assert case.get("note") == b"here"


def test_a_crash_keeps_what_was_closed(case):
    case.put("old", b"0123456789" * 100_000)
    case.refresh()
    body = random_bytes(3 * MIB)
    case.proxy.set_rules(REFUSED)
    (case.path / "new").write_bytes(body)
    os.chmod(case.path / "new", 0o640)
    with open(case.path / "old", "r+b") as file:
        file.seek(500_000)
        file.write(b"edited")
    unclosed = open(case.path / "unclosed", "wb", buffering=0)
    unclosed.write(b"never acknowledged")
    case.mount.kill()
    fails_with((errno.ENOTCONN, errno.ECONNABORTED), unclosed.close)
    case.mount.start()
    assert sorted(os.listdir(case.path)) == ["new", "old"]
    same_bytes((case.path / "new").read_bytes(), body)
    assert os.stat(case.path / "new").st_mode & 0o777 == 0o640
    wanted = bytearray(b"0123456789" * 100_000)
    wanted[500_000:500_006] = b"edited"
    same_bytes((case.path / "old").read_bytes(), bytes(wanted))
    case.proxy.set_rules()
    wait_stored(case)
    same_bytes(case.get("new"), body)
    same_bytes(case.get("old"), bytes(wanted))
    assert case.head("new")["Metadata"]["mode"] == str(0o100640)


def test_a_dead_server_does_not_hide_what_waits(s3_case, own_server):
    server = own_server("ceph")
    case = s3_case(server, {"freshness": LONG, "timeout": "4s"}, durability="journal")
    case.settled()
    case.proxy.set_rules(REFUSED)
    (case.path / "note").write_bytes(b"kept")
    server.send_signal("rgw", signal.SIGSTOP)
    try:
        crash(case)
        assert (case.path / "note").read_bytes() == b"kept"
        with open(case.path / "note", "ab") as file:
            file.write(b" and changed")
        assert (case.path / "note").read_bytes() == b"kept and changed"
    finally:
        server.send_signal("rgw", signal.SIGCONT)
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("note") == b"kept and changed"


def test_rewriting_and_renaming_are_stored_once(case):
    case.put("target", b"before")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    for text in (b"one", b"two", b"three"):
        (case.path / "often").write_bytes(text)
    (case.path / ".target.tmp").write_bytes(b"after")
    os.rename(case.path / ".target.tmp", case.path / "target")
    (case.path / "passing").write_bytes(b"gone before anybody knew")
    os.unlink(case.path / "passing")
    assert sorted(os.listdir(case.path)) == ["often", "target"]
    crash(case)
    assert sorted(os.listdir(case.path)) == ["often", "target"]
    assert (case.path / "target").read_bytes() == b"after"
    case.proxy.set_rules()
    case.proxy.reset()
    wait_stored(case)
    assert case.proxy.counts()["PutObject"] == 2
    assert sorted(case.keys()) == ["often", "target"]
    assert case.get("often") == b"three" and case.get("target") == b"after"


def test_unlink_of_what_waits_deletes_what_is_stored(case):
    case.put("old", b"old")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    (case.path / "old").write_bytes(b"new")
    # What is open is deleted at its last close, which the kernel tells after close(2) has returned.
    wait_until(lambda: case.mount.status()["objects"]["open_files"] == 0, message="the release of the handle")
    case.proxy.set_rules(REFUSED, {"operation": ["DeleteObject", "HeadObject"], "status": 403})
    fails_with(errno.EACCES, os.unlink, case.path / "old")
    assert (case.path / "old").read_bytes() == b"new" and len(uploads(case)) == 1
    case.proxy.set_rules(REFUSED)
    os.unlink(case.path / "old")
    assert os.listdir(case.path) == [] and uploads(case) == [] and case.keys() == []
    assert journal_files(case) == []


def test_a_removal_whose_answer_is_lost(case):
    """rm fails, and the stored version is gone all the same: what was to replace it is no conflict."""
    case.put("old", b"old")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    (case.path / "old").write_bytes(b"new")
    wait_until(lambda: case.mount.status()["objects"]["open_files"] == 0, message="the release of the handle")
    lost = {"operation": "DeleteObject", "drop_reply": True}
    case.proxy.set_rules(REFUSED, lost)
    case.proxy.reset()
    remover = subprocess.Popen(["rm", "-f", case.path / "old"], stderr=subprocess.DEVNULL)
    wait_until(lambda: any(entry["operation"] == "DeleteObject" for entry in case.proxy.injected()), message="the deletion")
    case.proxy.set_rules(REFUSED, lost, {"operation": "HeadObject", "status": 503})
    assert remover.wait(60) != 0 and case.keys() == []
    case.proxy.set_rules()
    wait_stored(case)
    assert os.listdir(case.path) == [] and case.keys() == [] and journal_files(case) == []


def test_a_removal_that_is_refused_gives_nothing_up(case):
    """Who deletes the object after rm was refused is somebody else: then it is a conflict, with its bytes."""
    case.put("old", b"old")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    (case.path / "old").write_bytes(b"new")
    wait_until(lambda: case.mount.status()["objects"]["open_files"] == 0, message="the release of the handle")
    case.proxy.set_rules(REFUSED, {"operation": ["DeleteObject", "HeadObject"], "status": 403})
    fails_with(errno.EACCES, os.unlink, case.path / "old")
    case.client.delete_object(Bucket=case.container, Key="old")
    case.proxy.set_rules()
    case.mount.command("uploads", "--retry", case.mount.point)
    wait_until(lambda: uploads(case, "parked"), message="the conflict")
    assert (case.path / "old").read_bytes() == b"new"


@pytest.mark.parametrize("renamed", [False, True], ids=["left", "renamed"])
@pytest.mark.parametrize("arrived", [False, True], ids=["lost", "arrived"])
def test_a_crash_within_a_removal(case, arrived, renamed):
    """What waits replaces a stored object: when that is gone after the crash, it was this removal that deleted it."""
    case.put("old", b"old")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    (case.path / "old").write_bytes(b"new")
    wait_until(lambda: case.mount.status()["objects"]["open_files"] == 0, message="the release of the handle")
    case.proxy.set_rules(REFUSED, {"operation": "DeleteObject", "hang": 600})
    case.proxy.reset()
    remover = subprocess.Popen(["rm", "-f", case.path / "old"], stderr=subprocess.DEVNULL)
    wait_until(lambda: any(entry["operation"] == "DeleteObject" for entry in case.proxy.injected()), message="the deletion")
    case.mount.kill()
    remover.wait(60)
    if arrived:
        case.client.delete_object(Bucket=case.container, Key="old")
    case.mount.start()
    assert (case.path / "old").read_bytes() == b"new"
    case.proxy.set_rules()
    name = "moved" if renamed else "old"
    if renamed and arrived:
        fails_with(errno.ENOENT, os.rename, case.path / "old", case.path / name)
    elif renamed:
        os.rename(case.path / "old", case.path / name)
    wait_stored(case)
    assert os.listdir(case.path) == ([] if arrived else [name]) and journal_files(case) == []
    assert (case.path / name).exists() != arrived
    assert case.keys() == ([] if arrived else [name]) and (arrived or case.get(name) == b"new")


def test_a_folder_above_what_waits_keeps_its_mode(s3_case, ceph):
    """After a restart the directory is known by the name of what waits in it: what was set on it is looked up."""
    case = s3_case(ceph, {"freshness": LONG, "timeout": "4s"}, durability="journal", folders=True)
    (case.path / "d").mkdir()
    (case.path / "d").chmod(0o710)
    case.proxy.set_rules(REFUSED)
    (case.path / "d/f").write_bytes(b"waits")
    crash(case)
    assert (case.path / "d").stat().st_mode & 0o7777 == 0o710
    assert (case.path / "d/f").read_bytes() == b"waits"
    case.proxy.set_rules()
    wait_stored(case)
    assert (case.path / "d").stat().st_mode & 0o7777 == 0o710


def park_conflict(case, key="shared"):
    case.put(key, b"first")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    (case.path / key).write_bytes(b"mine")
    case.put(key, b"theirs")
    case.proxy.set_rules()
    case.mount.command("uploads", "--retry", case.mount.point)
    wait_until(lambda: uploads(case, "parked"), message="the conflict")


def test_a_conflict_is_parked_exported_dropped(case, tmp_path):
    park_conflict(case)
    assert case.get("shared") == b"theirs" and (case.path / "shared").read_bytes() == b"mine"
    name = f"{STORAGE}/{case.container}/shared"
    listed = case.mount.command("uploads", case.mount.point).stdout
    assert name in listed and "parked" in listed
    assert 'storagefs_uploads{state="parked"} 1\n' in case.mount.control("metrics").read_text()
    crash(case)
    # Killed before the record said so, it is tried, and parked, once more.
    wait_until(lambda: len(uploads(case, "parked")) == 1, message="the parked upload")
    case.mount.command("sync", case.mount.point)  # does not wait for what only the user can settle
    saved = case.mount.command("uploads", "--export", tmp_path / "saved", case.mount.point, name).stdout.strip()
    assert pathlib.Path(saved).read_bytes() == b"mine"
    assert case.mount.command("uploads", "--drop", case.mount.point, name + "x", check=False).returncode != 0
    case.mount.command("uploads", "--drop", case.mount.point, name)
    assert uploads(case) == [] and journal_files(case) == []
    wait_until(lambda: (case.path / "shared").read_bytes() == b"theirs", message="the stored content")


def test_what_the_service_refuses_waits_for_the_user(case):
    with case.proxy.faults({"operation": WRITES, "status": 403}):
        (case.path / "note").write_bytes(b"text")
        wait_until(lambda: uploads(case, "parked"), message="the refusal")
    assert uploads(case)[0]["last_error"] and uploads(case)[0]["attempts"] >= 1
    case.mount.command("uploads", "--retry", case.mount.point, f"{STORAGE}/{case.container}/note")
    wait_until(lambda: uploads(case) == [], message="the upload")
    assert case.get("note") == b"text"


def test_bad_commands_change_nothing(case):
    control = case.mount.control("journal")
    for text, number in (("retry 0000000000000001\n", errno.ENOENT), ("drop recovery/../../x/y\n", errno.ENOENT),
                         ("drop unreadable/../lock\n", errno.ENOENT), ("export 1\nrelative\n", errno.EINVAL),
                         ("sing\n", errno.EINVAL), ("retry\n", errno.EINVAL)):
        fails_with(number, control.write_text, text)


def test_umount_waits_and_force_leaves(case):
    case.proxy.set_rules({"operation": WRITES, "status": 503, "count": 2})
    (case.path / "waited").write_bytes(b"for")
    case.mount.umount()
    assert case.get("waited") == b"for" and journal_files(case) == []
    case.mount.start()
    os.listdir(case.path)
    case.proxy.set_rules(REFUSED)
    (case.path / "left").write_bytes(b"behind")
    case.mount.command("umount", "--force", case.mount.point)
    case.mount._wait_end(60)
    case.mount.check_log()
    assert case.keys() == ["waited"] and journal_files(case) != []
    case.proxy.set_rules()
    case.mount.start()
    assert (case.path / "left").read_bytes() == b"behind"
    wait_stored(case)
    assert case.get("left") == b"behind"


def test_a_read_only_mount_stores_nothing(case):
    """What waits is read as it will be, waits on, and does not hold up the end."""
    case.proxy.set_rules(REFUSED)
    (case.path / "left").write_bytes(b"behind")
    for force in (["--force"], []):
        case.mount.command("umount", "--force", case.mount.point)
        case.mount._wait_end(60)
        case.proxy.reset()
        case.mount.mount_options = ["ro"]
        case.mount.start()
        assert (case.path / "left").read_bytes() == b"behind"
        done = case.mount.command("sync", case.mount.point, check=False)
        assert done.returncode == 1 and "read-only: 1 wait in the journal" in done.stderr
        done = case.mount.command("uploads", "--drop", case.mount.point, f"store/{case.container}/left", check=False)
        assert done.returncode == 1 and "mounted read-only" in done.stderr
        assert [upload["state"] for upload in uploads(case)] == ["waiting"]
        done = case.mount.command("umount", *force, case.mount.point)
        assert force or "1 wait in the journal" in done.stderr
        case.mount._wait_end(60)
        case.mount.check_log()
        assert {request["method"] for request in case.proxy.requests()} <= {"GET", "HEAD"}
        case.mount.mount_options = []
        case.proxy.set_rules(REFUSED)
        case.mount.start()
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("left") == b"behind"


def test_a_full_journal_slows_and_then_fails(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "3s", "journal_size": "8M"}, durability="journal")
    case.settled()
    body = random_bytes(5 * MIB)
    (case.path / "a").write_bytes(body)
    (case.path / "b").write_bytes(body)  # waits until the first one is stored
    wait_stored(case)
    same_bytes(case.get("b"), body)
    case.proxy.set_rules(REFUSED)
    (case.path / "c").write_bytes(body)
    with open(case.path / "d", "wb", buffering=0) as file:
        fails_with(errno.ENOSPC, lambda: [file.write(body[:MIB]) for _ in range(8)])
    case.proxy.set_rules()
    wait_stored(case)
    same_bytes(case.get("c"), body)
    (case.path / "d").write_bytes(body)
    wait_stored(case)
    same_bytes(case.get("d"), body)


def test_an_unreadable_record_is_set_aside_and_told(case):
    case.proxy.set_rules(REFUSED)
    (case.path / "note").write_bytes(b"text")
    case.mount.kill()
    journal = case.mount.directory / "state" / "journal"
    record, = journal.glob("*.record")
    record.write_bytes(record.read_bytes()[:-1])
    case.mount.start()
    assert not record.exists() and (journal / "unreadable" / record.name).exists()
    found, = uploads(case)
    assert found["state"] == "parked" and found["id"] == f"unreadable/{record.name}"
    assert "damaged journal record" in case.mount.log()
    case.mount.command("uploads", "--drop", case.mount.point)
    assert uploads(case) == []


def test_a_storage_that_is_gone_or_elsewhere_keeps_its_uploads(case, tmp_path):
    case.proxy.set_rules(REFUSED)
    (case.path / "note").write_bytes(b"text")
    case.mount.kill()
    section = case.mount.storages.pop(STORAGE)
    case.mount.storages["other"] = {"driver": "memory"}
    case.mount.write_configuration()
    case.mount.start()
    found, = uploads(case, "parked")
    assert found["storage"] == STORAGE and "no storage" in found["last_error"]
    saved = case.mount.command("uploads", "--export", tmp_path, case.mount.point).stdout.strip()
    assert pathlib.Path(saved).read_bytes() == b"text"
    case.proxy.set_rules()
    case.mount.storages = {STORAGE: section}
    case.mount.remount()
    wait_stored(case)
    assert case.get("note") == b"text"


def test_recovered_files_are_listed_exported_dropped(s3_case, ceph, tmp_path):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "4s"})
    case.put("a", b"first")
    case.settled()
    file = open(case.path / "a", "r+b", buffering=0)
    file.write(b"mine!")
    case.put("a", b"theirs")
    fails_with(errno.ESTALE, file.close)
    wait_until(lambda: uploads(case, "parked"), message="the saved bytes")
    name = f"{STORAGE}/{case.container}/a"
    saved = case.mount.command("uploads", "--export", tmp_path, case.mount.point, name).stdout.strip()
    assert pathlib.Path(saved).read_bytes() == b"mine!"
    case.mount.command("uploads", "--drop", case.mount.point, name)
    assert uploads(case) == []


@pytest.mark.parametrize("durability", ["storage", "journal"])
def test_the_parts_of_a_dead_process_are_aborted(s3_case, ceph, durability):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "30s"}, durability=durability, part_size="5M")
    case.settled()
    body = random_bytes(12 * MIB)
    case.proxy.set_rules({"operation": "CompleteMultipartUpload", "hang": 60}, {"operation": "UploadPart", "skip": 1, "hang": 60})
    file = open(case.path / "big", "wb", buffering=0)
    file.write(body)
    if durability == "journal":
        file.close()
    wait_until(lambda: case.proxy.injected() and case.unfinished() == ["big"], message="a part that gets no answer")
    case.mount.kill()
    case.proxy.set_rules()
    if durability == "storage":
        fails_with((errno.ENOTCONN, errno.ECONNABORTED), file.close)
    case.mount.start()
    wait_until(lambda: case.unfinished() == [], message="the abort of what the dead process left")
    if durability == "journal":
        wait_stored(case)
        same_bytes(case.get("big"), body)
    noted = case.mount.directory / "state" / "uploads"
    wait_until(lambda: not list(noted.rglob("*-*")), message="an empty ledger")


def make_tree(folder, count):
    for number in range(count):
        path = folder / f"d{number % 7}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(number * 37 % 5000, number) if number % 50 else random_bytes(200_000, number))
    return folder


def finished_names(root):
    """The files that rsync has closed and renamed: its temporary names begin with a dot."""
    return sorted(os.path.relpath(os.path.join(folder, name), root)
                  for folder, _, names in os.walk(root) for name in names if not name.startswith("."))


def test_rsync_killed_in_the_middle_loses_nothing_it_finished(s3_case, ceph, tmp_path):
    if not shutil.which("rsync"):
        pytest.skip("rsync is not installed")
    source = make_tree(tmp_path / "source", 300)
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10s"}, durability="journal", folders=True)
    case.settled()
    command = ["rsync", "-a", "--out-format=%n", f"{source}/", f"{case.path}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True) as program:
        for _ in range(150):
            assert program.stdout.readline()
        os.killpg(program.pid, signal.SIGSTOP)
        names = finished_names(case.path)
        case.mount.kill()
        os.killpg(program.pid, signal.SIGCONT)
        program.stdout.read()
        program.wait(60)
    assert 50 < len(names) < 300
    case.mount.start()
    assert set(names) <= set(finished_names(case.path))
    for name in names:
        same_bytes((case.path / name).read_bytes(), (source / name).read_bytes())
    wait_stored(case)
    for name in names:
        same_bytes(case.get(name), (source / name).read_bytes())
    run(*command, timeout=240)
    wait_stored(case)
    wanted, found = read_tree(source), read_tree(case.path)
    assert {path: found.get(path) for path in wanted} == wanted
    assert case.unfinished() == []


@pytest.fixture
def busy_record(case):
    """A crash leaves a record whose data cannot be had at the next mount: nobody may write to a program that runs."""
    case.proxy.set_rules(REFUSED)
    body = pathlib.Path(shutil.which("bash")).resolve().read_bytes()
    (case.path / "note").write_bytes(body)
    case.mount.kill()
    data, = (case.mount.directory / "state" / "journal").glob("*.data")
    data.chmod(0o700)
    program = subprocess.Popen([data, "-c", "read line"], stdin=subprocess.PIPE)
    case.mount.start()
    yield program, data, body
    program.stdin.close()
    program.wait(60)


def test_a_record_whose_data_cannot_be_had_is_told_and_kept(case, busy_record):
    program, _, body = busy_record
    found, = uploads(case, "parked")
    assert found["key"] == "note" and "busy" in found["last_error"]
    program.stdin.close()
    program.wait(60)
    reload_with(case, part_size="6M")
    same_bytes((case.path / "note").read_bytes(), body)
    case.proxy.set_rules()
    wait_stored(case)
    same_bytes(case.get("note"), body)


def test_a_newer_file_does_not_replace_what_could_not_be_had(case, busy_record):
    program, data, body = busy_record
    (case.path / "note").write_bytes(b"new")
    program.stdin.close()
    program.wait(60)
    crash(case)
    assert (case.path / "note").read_bytes() == b"new"
    kept = data.parent / "unreadable" / data.name
    same_bytes(kept.read_bytes(), body)
    assert f"unreadable/{data.name}" in {upload["id"] for upload in uploads(case, "parked")}
    case.proxy.set_rules()
    wait_until(lambda: case.keys() == ["note"], message="the upload")
    assert case.get("note") == b"new"
    case.mount.command("uploads", "--drop", case.mount.point)


def reload_with(case, **keys):
    """The section is changed under the running mount."""
    case.mount.storages[STORAGE].update(keys)
    case.mount.write_configuration()
    case.mount.command("reload", case.mount.point)


def test_what_waits_outlasts_a_reload(case):
    """It is seen, written, renamed and removed as before, and stored once, with the new settings."""
    case.put("stored", b"before")
    case.refresh()
    case.proxy.set_rules(REFUSED)
    big = random_bytes(300_000)
    for name, body in (("a", b"one"), ("b", b"gone"), ("c", big), ("stored", b"after")):
        (case.path / name).write_bytes(body)
    inode = os.stat(case.path / "a").st_ino
    reload_with(case, part_size="6M")
    assert sorted(os.listdir(case.path)) == ["a", "b", "c", "stored"]
    assert (case.path / "a").read_bytes() == b"one" and os.stat(case.path / "a").st_ino == inode
    os.unlink(case.path / "b")
    (case.path / "a").write_bytes(b"two")
    os.rename(case.path / "c", case.path / "d")
    reload_with(case, part_size="7M")
    assert sorted(os.listdir(case.path)) == ["a", "d", "stored"]
    case.proxy.set_rules()
    wait_stored(case)
    assert sorted(case.keys()) == ["a", "d", "stored"]
    assert case.get("a") == b"two" and case.get("stored") == b"after"
    same_bytes(case.get("d"), big)
    assert journal_files(case) == []


def test_a_file_that_is_open_at_a_reload_stays_one_file(case):
    case.put("old", b"0123456789" * 30_000)
    case.refresh()
    case.proxy.set_rules(REFUSED)
    with open(case.path / "new", "w+b", buffering=0) as new, open(case.path / "old", "r+b", buffering=0) as old:
        new.write(b"before ")
        old.write(b"before")
        reload_with(case, part_size="6M")
        assert (case.path / "new").read_bytes() == b"before "
        with open(case.path / "new", "ab") as other:
            other.write(b"beside ")
        new.seek(0, os.SEEK_END)
        new.write(b"after")
        old.seek(100_000)
        old.write(b"after")
        assert (case.path / "old").stat().st_ino == os.fstat(old.fileno()).st_ino
    assert (case.path / "new").read_bytes() == b"before beside after"
    case.proxy.set_rules()
    wait_stored(case)
    wanted = bytearray(b"0123456789" * 30_000)
    wanted[:6], wanted[100_000:100_005] = b"before", b"after"
    assert case.get("new") == b"before beside after"
    same_bytes(case.get("old"), bytes(wanted))


def test_new_secrets_are_used_by_what_waits(case):
    """Also by what the old ones were refused for, and to read the stored part of it."""
    case.put("edited", b"0123456789" * 30_000)
    case.refresh()
    right = case.mount.storages[STORAGE]["secret_access_key"]
    case.proxy.set_rules(REFUSED)
    (case.path / "note").write_bytes(b"text")
    case.proxy.set_rules()
    reload_with(case, secret_access_key="wrong" * 8)
    wait_until(lambda: uploads(case, "parked"), message="the refusal")
    reload_with(case, secret_access_key=right)
    wait_stored(case)
    assert case.get("note") == b"text"
    case.proxy.set_rules(REFUSED)
    with open(case.path / "edited", "r+b") as file:
        file.seek(10)
        file.write(b"edit")
    case.proxy.set_rules({"operation": ["GetObject", *WRITES], "status": 403})
    wait_until(lambda: uploads(case, "parked"), message="the refusal")
    case.proxy.set_rules()
    reload_with(case, part_size="6M")
    wait_stored(case)
    same_bytes(case.get("edited"), b"0123456789edit" + (b"0123456789" * 30_000)[14:])


def test_a_section_that_goes_and_comes_back(case):
    case.proxy.set_rules(REFUSED)
    (case.path / "note").write_bytes(b"text")
    section = case.mount.storages.pop(STORAGE)
    case.mount.storages["other"] = {"driver": "memory"}
    case.mount.write_configuration()
    case.mount.command("reload", case.mount.point)
    assert not case.path.exists() and len(uploads(case)) == 1
    case.mount.storages[STORAGE] = section
    reload_with(case, part_size="6M")
    assert (case.path / "note").read_bytes() == b"text"
    case.mount.storages.pop(STORAGE)
    case.mount.write_configuration()
    case.mount.kill()
    case.mount.start()
    assert len(uploads(case, "parked")) == 1
    case.mount.storages[STORAGE] = section
    reload_with(case)
    assert (case.path / "note").read_bytes() == b"text"
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("note") == b"text"
