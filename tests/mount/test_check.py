"""`storagefs check`: its exit status and what it prints, with every server and for what is wrong in a configuration."""

import email.utils
import time

import pytest

SERVERS = {"ceph": "ceph", "swift_s3": "swift_s3", "moto": "s3", "new_ceph": "ceph"}
CAPABILITIES = ["create only if absent", "replace only if unchanged", "multi-part uploads", "copies on the server", "metadata in listings",
                "signed URLs"]
# server: what it does with conditions, as check finds out
CONDITIONS = {
    "ceph": {"create only if absent": "atomic", "replace only if unchanged": "atomic"},
    "new_ceph": {"create only if absent": "atomic", "replace only if unchanged": "atomic",
                 "multi-part uploads": "yes; create only if absent: atomic, replace only if unchanged: atomic"},
    "swift_s3": {"create only if absent": "best effort (look, then write)", "replace only if unchanged": "best effort (look, then write)"},
    "moto": {"create only if absent": "atomic"},
}


def check(case):
    return case.mount.command("check", "-c", case.mount.configuration_file, check=False, timeout=60)


def facts_of(text):
    """{"containers": "3", ...} of what is printed about one storage."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return {name.strip(): value.strip() for name, value in ((line[:26], line[26:]) for line in lines)}


@pytest.mark.parametrize("server", SERVERS)
def test_a_storage_that_answers(s3_case, request, server):
    case = s3_case(request.getfixturevalue(server), start=False)
    case.put("doc", b"content")
    done = check(case)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    first, second = done.stdout.splitlines()[:2]
    assert first == f"{case.mount.configuration_file}: 1 storages"
    assert second.startswith("store: ") and f"127.0.0.1:{case.proxy.port}" in second and case.server.access_key in second
    facts = facts_of(done.stdout)
    assert set(CAPABILITIES) <= set(facts) and facts["containers"] == "1" and facts["signed URLs"] == "yes"
    assert {name: facts[name] for name in CONDITIONS[server]} == CONDITIONS[server]
    assert case.server.secret_key not in done.stdout
    assert case.keys() == ["doc"] and case.unfinished() == []


@pytest.mark.parametrize("driver", ["memory", "local"])
def test_a_storage_without_containers(mount, tmp_path, driver):
    (tmp_path / "base").mkdir()
    made = mount({"store": {"driver": driver, **({"path": tmp_path / "base"} if driver == "local" else {})}}, start=False)
    done = made.command("check", "-c", made.configuration_file, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert facts_of(done.stdout)["containers"] == "0"


def broken(case, **keys):
    """What check says of this storage when these keys are wrong."""
    case.mount.storages["store"].update(keys)
    case.mount.write_configuration()
    started = time.monotonic()
    done = check(case)
    assert done.returncode == 1 and time.monotonic() - started < 50
    assert "store: " in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    secrets = {case.server.secret_key, case.mount.storages["store"]["secret_access_key"]}
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr]
    return done.stderr


@pytest.fixture(params=["ceph", "swift_s3"])
def case(s3_case, request):
    return s3_case(request.getfixturevalue(request.param), {"timeout": "3s"}, start=False)


def test_a_wrong_secret(case):
    said = broken(case, secret_access_key="WRONGSECRET")
    assert "SignatureDoesNotMatch" in said and "secret_access_key" in said and case.proxy.endpoint in said


def test_a_wrong_access_key(case):
    said = broken(case, access_key_id="NOBODY")
    assert "403" in said and "access_key_id" in said


@pytest.mark.parametrize("endpoint, word", [
    ("http://127.0.0.1:1", "endpoint"),
    ("http://no-such-host.invalid", "endpoint"),
    ("https://{upstream}", "http://"),
])
def test_a_wrong_endpoint(case, endpoint, word):
    if "upstream" in endpoint and case.server.name == "swift":
        pytest.skip("its server waits in silence for the end of what TLS begins with")
    endpoint = endpoint.format(upstream=case.server.upstream)
    said = broken(case, endpoint=endpoint)
    assert endpoint in said and word in said


def test_an_endpoint_that_is_no_object_storage(case):
    case.proxy.set_rules({"status": 200, "body": "<html>Welcome to nginx</html>", "headers": {"Content-Type": "text/html"}})
    assert "endpoint" in broken(case)
    case.proxy.set_rules({"status": 404, "body": "Not found", "headers": {"Content-Type": "text/plain"}})
    assert "endpoint" in broken(case)


def test_an_endpoint_that_is_silent(case):
    case.proxy.set_rules({"hang": 60})
    said = broken(case)
    assert "timed out" in said


def test_a_container_that_is_not_there(case):
    said = broken(case, containers="no-such-container-of-ours")
    assert "no-such-container-of-ours" in said


def test_a_region_that_is_not_configured(s3_case, ceph):
    case = s3_case(ceph, start=False)
    case.mount.storages["store"].update(driver="hetzner", region="")
    case.mount.write_configuration()
    done = check(case)
    assert done.returncode == 1 and "region" in done.stderr and "storagefs.conf:" in done.stderr


def test_a_clock_that_is_wrong_is_learned(case):
    """The service tells its time with the refusal: signed with that, the request goes through."""
    case.proxy.set_rules({"count": 1, "status": 403, "body": "<Error><Code>RequestTimeTooSkewed</Code></Error>",
                          "headers": {"Date": email.utils.formatdate(time.time() + 7200, usegmt=True)}})
    done = check(case)
    dates = [request["headers"]["x-amz-date"] for request in case.proxy.requests()]
    assert len(dates) >= 2 and dates[1] > dates[0] and int(dates[1][9:11]) != int(dates[0][9:11])
    # The real clock is right, so this time is refused in its turn, and learned back.
    assert done.returncode == 0, done.stderr


def test_a_clock_that_nothing_helps(case):
    case.proxy.set_rules({"status": 403, "body": "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>",
                          "headers": {"Date": None}})
    said = broken(case)
    assert "RequestTimeTooSkewed" in said and "clock" in said


def test_one_of_two_storages(s3_case, ceph):
    """What works is shown, what does not is told, and the status says that something is wrong."""
    case = s3_case(ceph, {"timeout": "3s"}, start=False, more_storages={"other": ceph.settings("http://127.0.0.1:1")})
    done = check(case)
    assert done.returncode == 1 and "other: " in done.stderr and "store: " not in done.stderr
    assert facts_of(done.stdout)["containers"] == "1"
