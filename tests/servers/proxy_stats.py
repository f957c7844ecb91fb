"""What went through the proxy: names of S3 operations, counts and bytes of bodies.

`operation_of()` tells which S3 operation a request is. `Stats` counts: begin() when the head of a request is read,
sent() and received() as bodies pass, end() when its reply is complete. Bytes are counted before they are passed on, so
whoever has a reply in hand finds it in the counts.
"""

import collections
import re
import urllib.parse

REQUESTS_KEPT = 20000

# Which query parameter makes which operation, per method; the first that is there decides, "" is for none of them.
BUCKET_OPERATIONS = {
    "GET": {"uploads": "ListMultipartUploads", "versions": "ListObjectVersions", "location": "GetBucketLocation",
            "versioning": "GetBucketVersioning", "acl": "GetBucketAcl", "policy": "GetBucketPolicy", "": "ListObjects"},
    "PUT": {"versioning": "PutBucketVersioning", "acl": "PutBucketAcl", "policy": "PutBucketPolicy", "": "CreateBucket"},
    "POST": {"delete": "DeleteObjects"},
    "HEAD": {"": "HeadBucket"},
    "DELETE": {"": "DeleteBucket"},
}
OBJECT_OPERATIONS = {
    "GET": {"uploadId": "ListParts", "attributes": "GetObjectAttributes", "tagging": "GetObjectTagging", "acl": "GetObjectAcl",
            "": "GetObject"},
    "PUT": {"uploadId": "UploadPart", "tagging": "PutObjectTagging", "acl": "PutObjectAcl", "": "PutObject"},
    "POST": {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
    "HEAD": {"": "HeadObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "tagging": "DeleteObjectTagging", "": "DeleteObject"},
}
COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


def split_target(target, host="", host_suffix=None):
    """(bucket, key, query parameters) of a request target. With host_suffix, BUCKET.host_suffix is understood too."""
    path, _, query = target.partition("?")
    path = urllib.parse.unquote(path[1:], errors="surrogateescape")
    name = host.rpartition(":")[0] or host
    if host_suffix and name.endswith("." + host_suffix):
        bucket, key = name[: -len(host_suffix) - 1], path
    else:
        bucket, _, key = path.partition("/")
    return bucket, key, dict(urllib.parse.parse_qsl(query, keep_blank_values=True))


def operation_of(method, bucket, key, parameters, is_copy):
    """The S3 name of a request, such as PutObject; the method's own name for what S3 does not know."""
    if not bucket:
        return "ListBuckets" if method == "GET" else method
    operations = (OBJECT_OPERATIONS if key else BUCKET_OPERATIONS).get(method, {})
    chosen = next((name for parameter, name in operations.items() if parameter in parameters), operations.get("", method))
    return COPIES.get(chosen, chosen) if is_copy else chosen


def _telling(headers):
    """What is worth looking at later. Of Authorization the credential's scope alone: a signature is nobody's business."""
    kept = {name.lower(): value for name, value in headers.fields}
    scope = re.search(r"Credential=([^,]*)", kept.pop("authorization", ""))
    return {**kept, **({"credential": scope[1]} if scope else {})}


def _empty():
    return {"count": 0, "errors": 0, "sent": 0, "received": 0}


class Stats:
    """Counts since the last reset. All numbers of bytes are bodies only; sent is towards the server."""

    def __init__(self):
        self.active = 0
        self.reset()

    def reset(self):
        self.total = _empty()
        self.operations = collections.defaultdict(_empty)
        self.keys = collections.defaultdict(lambda: collections.defaultdict(_empty))
        self.statuses = collections.Counter()
        self.requests = collections.deque(maxlen=REQUESTS_KEPT)
        self.connections = 0
        self.max_parallel = self.active

    def begin(self, request):
        self.active += 1
        self.max_parallel = max(self.max_parallel, self.active)
        entry = {"method": request.method, "target": request.target, "operation": request.operation,
                 "range": request.headers.get("range"), "headers": _telling(request.headers), "status": None, "sent": 0,
                 "received": 0}
        self.requests.append(entry)
        request.entry = entry
        request.counters = (self.total, self.operations[request.operation],
                            self.keys[f"{request.bucket}/{request.key}"][request.operation])
        self._add(request, "count", 1)

    @staticmethod
    def _add(request, name, amount):
        for counter in request.counters:
            counter[name] += amount

    def sent(self, request, amount):
        request.entry["sent"] += amount
        self._add(request, "sent", amount)

    def received(self, request, amount):
        request.entry["received"] += amount
        self._add(request, "received", amount)

    def replied(self, request, status):
        request.entry["status"] = status
        self.statuses[str(status)] += 1
        if status >= 400:
            self._add(request, "errors", 1)

    def end(self):
        self.active -= 1

    def as_dict(self):
        return {"total": self.total, "operations": self.operations, "keys": self.keys, "statuses": self.statuses,
                "connections": self.connections, "active": self.active, "max_parallel": self.max_parallel}
