"""What requests must carry beside their signature: encryption, storage class, ACL, who pays. Counted at the proxy, for
every kind of request that a mount makes."""

import base64
import errno
import hashlib
import os

import pytest

from harness.files import fails_with, random_bytes
from harness.process import wait_until
from harness.s3 import same_bytes

MIB = 1 << 20
LARGE = 12 * MIB
KEY = bytes(range(32))
CUSTOMER = {"algorithm": "AES256", "key": base64.b64encode(KEY).decode(),
            "key-md5": base64.b64encode(hashlib.md5(KEY).digest()).decode()}
OWN = {f"x-amz-server-side-encryption-customer-{name}": value for name, value in CUSTOMER.items()}
SOURCE = {f"x-amz-copy-source-server-side-encryption-customer-{name}": value for name, value in CUSTOMER.items()}

# Everything that a mount asks of an object; `work` makes it ask.
MAKES = {"PutObject", "CreateMultipartUpload", "CopyObject"}
COPIES = {"CopyObject", "UploadPartCopy"}
OTHERS = {"UploadPart", "HeadObject", "GetObject", "DeleteObject", "CompleteMultipartUpload", "ListObjects"}


def work(case):
    """Every kind of request about objects; gives them as {operation: [headers]}."""
    small, large = random_bytes(5000, 1), random_bytes(LARGE, 2)
    (case.path / "small").write_bytes(small)
    (case.path / "large").write_bytes(large)
    with open(case.path / "large", "r+b") as file:
        file.seek(MIB)
        file.write(b"edited")
    os.setxattr(case.path / "small", "user.color", b"red")
    os.rename(case.path / "small", case.path / "moved")
    os.rename(case.path / "large", case.path / "larger")
    case.refresh()
    assert (case.path / "moved").read_bytes() == small and os.getxattr(case.path / "moved", "user.color") == b"red"
    same_bytes((case.path / "larger").read_bytes(), large[:MIB] + b"edited" + large[MIB + 6:])
    assert sorted(os.listdir(case.path)) == ["larger", "moved"]
    case.client.put_object(Bucket=case.container, Key="to delete", Body=b"x")
    case.refresh()
    os.unlink(case.path / "to delete")
    seen = {}
    for request in case.proxy.requests():
        if request["status"] and request["status"] < 300:
            seen.setdefault(request["operation"], []).append(request["headers"])
    assert MAKES | COPIES | OTHERS <= set(seen), MAKES | COPIES | OTHERS - set(seen)
    return seen


def carried(headers, wanted):
    return {name: headers.get(name) for name in wanted} == wanted


def check_carried(seen, operations, wanted, may=()):
    """Exactly these operations carry all of them, the others none, or, where they `may`, whatever they like."""
    for operation, requests in seen.items():
        for headers in requests:
            if operation in operations:
                assert carried(headers, wanted), (operation, headers)
            elif operation not in may:
                assert not set(wanted) & set(headers), (operation, headers)


@pytest.fixture
def plain_case(s3_case, ceph):
    return lambda server=ceph, **keys: s3_case(server, {"freshness": 0}, part_size="5M", maximum_copy_size="10M", **keys)


def test_customer_key(s3_case, new_ceph, certificate):
    """The service keeps no key: without it in each of these requests, nothing could be read or written."""
    case = s3_case(new_ceph, {"freshness": 0}, proxy_options={"tls_file": certificate.both}, ca_file=certificate.authority, part_size="5M",
                   maximum_copy_size="10M", encryption="customer", customer_key=base64.b64encode(KEY).decode())
    seen = work(case)
    check_carried(seen, MAKES | {"UploadPart", "UploadPartCopy", "HeadObject", "GetObject"}, OWN, {"CompleteMultipartUpload"})
    check_carried(seen, COPIES, SOURCE)
    with pytest.raises(case.client.exceptions.ClientError):
        case.client.get_object(Bucket=case.container, Key="moved")
    found = case.client.get_object(Bucket=case.container, Key="moved", SSECustomerAlgorithm="AES256", SSECustomerKey=KEY)
    assert found["Body"].read() == random_bytes(5000, 1)


def test_a_wrong_customer_key(s3_case, ceph, certificate):
    keys = {"proxy_options": {"tls_file": certificate.both}, "ca_file": certificate.authority, "encryption": "customer"}
    case = s3_case(ceph, {"freshness": 0}, customer_key=base64.b64encode(KEY).decode(), **keys)
    (case.path / "doc").write_bytes(b"content")
    other = s3_case(ceph, {"freshness": 0, "timeout": "3s"}, container=case.container, customer_key=base64.b64encode(KEY[::-1]).decode(), **keys)
    with pytest.raises(OSError) as caught:
        (other.path / "doc").read_bytes()
    assert caught.value.errno in (errno.EACCES, errno.EIO, errno.EINVAL)
    assert (case.path / "doc").read_bytes() == b"content"


def test_a_customer_key_goes_over_tls_only(s3_case, ceph):
    case = s3_case(ceph, start=False, encryption="customer", customer_key=base64.b64encode(KEY).decode())
    checked = case.mount.command("check", "-c", case.mount.configuration_file, check=False)
    assert checked.returncode == 1 and "https" in checked.stderr and "storagefs.conf:" in checked.stderr
    assert case.proxy.requests() == []


def test_no_signed_url_for_a_customer_key(s3_case, ceph, certificate):
    """Who has the URL alone could not read it: the key would have to go with it."""
    case = s3_case(ceph, proxy_options={"tls_file": certificate.both}, ca_file=certificate.authority, encryption="customer",
                   customer_key=base64.b64encode(KEY).decode())
    (case.path / "doc").write_bytes(b"content")
    fails_with(errno.ENOTSUP, os.getxattr, case.path / "doc", "storagefs.url")


def test_key_management(plain_case, new_ceph):
    """Encrypted by the service with a key of its own store."""
    case = plain_case(new_ceph, encryption="kms", kms_key_id="testkey")
    check_carried(work(case), MAKES, {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "testkey"})
    for key in ("moved", "larger"):
        head = case.head(key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "testkey")


@pytest.fixture
def moto_case(s3_case, moto):
    def make(**keys):
        case = s3_case(moto, {"freshness": 0}, part_size="5M", maximum_copy_size="10M", **keys)
        case.settled()
        return case

    return make


def test_the_services_own_encryption(moto_case):
    case = moto_case(encryption="s3")
    check_carried(work(case), MAKES, {"x-amz-server-side-encryption": "AES256"})
    assert {case.head(key)["ServerSideEncryption"] for key in ("moved", "larger")} == {"AES256"}


def test_storage_class(moto_case):
    case = moto_case(storage_class="STANDARD_IA")
    check_carried(work(case), MAKES, {"x-amz-storage-class": "STANDARD_IA"})
    assert {case.head(key)["StorageClass"] for key in ("moved", "larger")} == {"STANDARD_IA"}
    assert os.getxattr(case.path / "moved", "storagefs.storage_class") == b"STANDARD_IA"


def test_access_control(plain_case):
    case = plain_case(acl="public-read")
    check_carried(work(case), MAKES, {"x-amz-acl": "public-read"})
    for key in ("moved", "larger"):
        grants = case.client.get_object_acl(Bucket=case.container, Key=key)["Grants"]
        assert [grant for grant in grants if grant["Grantee"].get("URI", "").endswith("AllUsers") and grant["Permission"] == "READ"]


def test_requester_pays(plain_case):
    """Everything is paid for by who asks, also what is only looked at."""
    case = plain_case(requester_pays="yes")
    seen = work(case)
    check_carried(seen, set(seen) - {"ListBuckets"}, {"x-amz-request-payer": "requester"})
    os.getxattr(case.path / "moved", "storagefs.url").decode().index("x-amz-request-payer=requester")


def test_nothing_is_sent_that_was_not_asked_for(plain_case):
    unwanted = ("x-amz-server-side", "x-amz-copy-source-server-side", "x-amz-storage-class", "x-amz-acl", "x-amz-request-payer")
    for operation, requests in work(plain_case()).items():
        for headers in requests:
            assert not [name for name in headers if name.startswith(unwanted)], (operation, headers)


def test_an_objects_own_class_is_kept(moto_case):
    """Where nothing is configured, a change of metadata leaves the class that somebody chose."""
    case = moto_case()
    case.put("doc", b"content", StorageClass="STANDARD_IA", CacheControl="max-age=5", ContentDisposition="attachment", ContentLanguage="de")
    case.refresh()
    os.chmod(case.path / "doc", 0o600)
    head = case.head("doc")
    assert (head["StorageClass"], head["CacheControl"], head["ContentDisposition"], head["ContentLanguage"]) == (
        "STANDARD_IA", "max-age=5", "attachment", "de")
    wait_until(lambda: os.getxattr(case.path / "doc", "storagefs.storage_class") == b"STANDARD_IA", 10)
