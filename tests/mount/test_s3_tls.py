"""TLS: the right certificate is accepted, a wrong one refused in words that name the storage and the remedy; and what is
told about another host takes no credentials there."""

import errno
import os

import pytest

from harness.fixtures import Certificate
from harness.process import run
from harness.s3 import errno_of


def make_certificate(directory, *names):
    directory.mkdir()
    made = Certificate(directory / "certificate.pem", directory / "both.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        "/CN=storagefs test", "-addext", f"subjectAltName={','.join(names)}", "-keyout", directory / "key.pem", "-out", made.authority)
    made.both.write_text(made.authority.read_text() + (directory / "key.pem").read_text())
    return made


@pytest.fixture
def other_certificate(tmp_path):
    return make_certificate(tmp_path / "other", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture
def elsewhere_certificate(tmp_path):
    """Valid, for a host that is not ours."""
    return make_certificate(tmp_path / "elsewhere", "DNS:storage.example")


@pytest.fixture
def tls_case(s3_case, ceph):
    def make(certificate, **keys):
        return s3_case(ceph, {"timeout": "3s"}, proxy_options={"tls_file": certificate.both}, **keys)

    return make


def test_the_right_certificate(tls_case, certificate):
    case = tls_case(certificate, ca_file=certificate.authority)
    (case.path / "doc").write_bytes(b"content")
    assert case.get("doc") == b"content" and (case.path / "doc").read_bytes() == b"content"
    (put,) = [request for request in case.proxy.requests() if request["operation"] == "PutObject" and request["target"].endswith("doc")]
    assert put["headers"]["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


def refusal_of(case):
    """What the mount and `storagefs check` say of a storage whose certificate is refused."""
    assert errno_of(lambda: os.listdir(case.path)) in (errno.EACCES, errno.EIO)
    assert case.proxy.requests() == []
    checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    assert checked.returncode == 1 and case.server.secret_key not in checked.stdout + checked.stderr
    assert "store: " in checked.stderr and case.proxy.endpoint in checked.stderr
    last = case.state()["last_error"]
    assert case.proxy.endpoint in last and case.proxy.requests() == []
    log = case.mount.log()
    assert "store" in log and case.proxy.endpoint in log
    return checked.stderr, last


@pytest.mark.parametrize("trusted", ["none", "other"])
def test_a_wrong_certificate(tls_case, certificate, other_certificate, trusted):
    keys = {"ca_file": other_certificate.authority} if trusted == "other" else {}
    for said in refusal_of(tls_case(certificate, **keys)):
        assert "certificate" in said and "ca_file" in said


def test_a_wrong_host_name(tls_case, elsewhere_certificate):
    case = tls_case(elsewhere_certificate, ca_file=elsewhere_certificate.authority)
    for said in refusal_of(case):
        assert "127.0.0.1" in said and "endpoint" in said


def test_a_wrong_certificate_is_accepted_only_when_asked_to(tls_case, certificate):
    case = tls_case(certificate, verify_tls="no")
    (case.path / "doc").write_bytes(b"content")
    assert case.get("doc") == b"content"


def test_the_wrong_scheme(s3_case, ceph, certificate):
    """http:// where TLS is spoken, and the reverse."""
    case = s3_case(ceph, {"timeout": "3s"}, proxy_options={"tls_file": certificate.both}, endpoint="http://127.0.0.1:{port}")
    assert errno_of(lambda: os.listdir(case.path)) == errno.EIO
    plain = s3_case(ceph, {"timeout": "3s"}, endpoint=f"https://{ceph.upstream}")
    assert errno_of(lambda: os.listdir(plain.path)) == errno.EIO
    checked = plain.mount.command("check", "-c", plain.mount.configuration_file, check=False)
    assert checked.returncode == 1 and f"https://{ceph.upstream}" in checked.stderr and "http://" in checked.stderr


REDIRECTS = {
    "301": {"status": 301, "body": "<Error><Code>PermanentRedirect</Code><Endpoint>{host}</Endpoint></Error>"},
    "307": {"status": 307, "headers": {"Location": "http://{host}/elsewhere/doc"}, "body": ""},
    "302 without XML": {"status": 302, "headers": {"Location": "http://{host}/"}, "body": "<html>moved"},
    "308": {"status": 308, "headers": {"Location": "//{host}/"}, "body": ""},
    "400 with a region": {"status": 400, "body": "<Error><Code>AuthorizationHeaderMalformed</Code><Region>elsewhere-1</Region>"
                                                 "<Endpoint>{host}</Endpoint></Error>"},
}


@pytest.mark.parametrize("redirect", REDIRECTS)
def test_no_redirect_takes_credentials_to_another_host(s3_case, ceph, redirect):
    """Another port is another host: it gets neither a signature nor a byte of what is written."""
    case = s3_case(ceph, {"freshness": 0, "timeout": "3s"})
    case.settled()
    with ceph.counted() as other:
        host = f"127.0.0.1:{other.port}"
        rule = {**REDIRECTS[redirect]}
        rule["body"] = rule["body"].format(host=host)
        rule["headers"] = {name: value.format(host=host) for name, value in rule.get("headers", {}).items()}
        with case.proxy.faults({"operation": ["PutObject", "GetObject", "HeadObject", "ListObjects"], **rule}):
            for action in (lambda: (case.path / "doc").write_bytes(b"content"), lambda: os.listdir(case.path)):
                assert errno_of(action) == errno.EIO
        assert other.requests() == [] and other.stats()["connections"] == 0
    (case.path / "doc").write_bytes(b"works again")
    assert case.get("doc") == b"works again"
