"""Secrets stay where they are used: a service that tells them back is not repeated anywhere."""

import os

import pytest

from harness.mount import MountFailed
from harness.process import wait_until
from harness.s3 import LONG

SECRET = "sekret/of+the+storage=="
TOKEN = "token/of+the+session" * 8


def denied(*told):
    message = " ".join(told)
    return {"status": 403, "body": f"<Error><Code>AccessDenied</Code><Message>{message}</Message><RequestId>{TOKEN}</RequestId></Error>"}


# The second is longer than what is shown of a message, and ends in the middle of a secret.
REFUSALS = {"whole": denied("given were", SECRET, "and", TOKEN), "cut": denied("x" * (300 - len(SECRET) + 4), SECRET)}


def has_secret(text):
    return SECRET in text or SECRET[:-6] in text or TOKEN[:40] in text


@pytest.fixture(params=["storage", "journal"])
def case(request, s3_case, moto):
    return s3_case(moto, {"freshness": LONG, "timeout": "3s"}, durability=request.param, secret_access_key=SECRET, session_token=TOKEN)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_that_tells_secrets(case, refusal):
    """Each text that leaves the daemon: status, uploads, metrics, what lies in its directories, its log, what commands print."""
    with case.proxy.faults({"operation": ["PutObject", "GetObject", "ListObjects"], **REFUSALS[refusal]}):
        try:
            (case.path / "doc").write_bytes(b"content")
        except PermissionError:
            pass
        wait_until(case.parked, message="the upload that is kept")
        with pytest.raises(PermissionError):
            os.listdir(case.path)
        texts = [case.mount.control(name).read_text() for name in ("status", "uploads", "metrics")]
        texts += [case.mount.command(*words, check=False).stdout for words in
                  (["status", case.mount.point], ["uploads", case.mount.point])]
        checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    assert checked.returncode == 1 and "AccessDenied" in checked.stderr
    assert all("AccessDenied" in text for text in texts[:2])
    kept = [path.read_text(errors="replace") for path in (case.mount.directory / "state").rglob("*") if path.is_file()]
    assert any("AccessDenied" in text for text in kept)
    told = [*texts, checked.stderr + checked.stdout, case.mount.log(), *kept]
    assert not [text for text in told if has_secret(text)]
    case.mount.command("uploads", case.mount.point, "--drop")


def test_a_line_that_is_none(mount):
    """What is wrong in a configuration is told without what stands there."""
    made = mount({"store": {"driver": "minio", "endpoint": "http://127.0.0.1:9", "access_key_id": "AK", "secret_access_key": SECRET}},
                 start=False)
    made.write_configuration(made.configuration_file.read_text().replace("secret_access_key = ", "secret_access_key "))
    with pytest.raises(MountFailed) as caught:
        made.start()
    assert not has_secret(caught.value.log)
