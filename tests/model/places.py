"""Where a model run happens: one container of a mount, and the store behind it as another client sees and changes it."""

import os
import pathlib
import time

PATIENCE_S = 30


class Place:
    """A container without a way past the mount: the memory driver's."""

    has_foreigner = False

    def __init__(self, storage, container, folders, journal):
        self.storage, self.container, self.folders, self.journal = storage, container, folders, journal
        self.mount = None

    @property
    def path(self):
        return self.mount.point / self.storage / self.container

    def key(self, name):
        return name if self.folders else name.replace("%2F", "/")

    def name(self, key):
        return key if self.folders else key.replace("/", "%2F")

    def refresh(self):
        self.mount.control("refresh").write_text(f"{self.storage}/{self.container}\n")

    def wait_stored(self, prefix):
        """Until nothing below prefix waits in the journal."""
        if not self.journal:
            return
        end = time.monotonic() + PATIENCE_S
        while waiting := [upload for upload in self.mount.status()["uploads"] if upload["storage"] == self.storage
                          and upload["key"].startswith(prefix)]:
            assert not (parked := [upload for upload in waiting if upload["state"] == "parked"]), f"parked: {parked}"
            assert time.monotonic() < end, f"uploads do not end: {waiting}"
            time.sleep(0.02)

    def stored(self, _prefix):
        """{name: bytes} of all that the store has below prefix; None where nobody can look."""
        return None

    def unfinished(self):
        """Uploads in parts that nobody has ended."""
        return []


class LocalPlace(Place):
    """Another program that uses the directory below a local storage."""

    has_foreigner = True

    def __init__(self, storage, base, folders):
        super().__init__(storage, "box", folders, False)
        self.base = pathlib.Path(base)
        self.directory = self.base / self.container
        self.directory.mkdir(parents=True)

    def store(self, name, data):
        path = self.directory / self.key(name)
        if data is None:
            path.unlink()
            if not self.folders and path.parent != self.directory and not any(path.parent.iterdir()):
                path.parent.rmdir()
            return
        fresh = self.base.parent / f"{self.base.name}-{os.getpid()}-{abs(hash(name))}"
        fresh.write_bytes(data)
        fresh.chmod(0o644)
        path.parent.mkdir(exist_ok=True)
        fresh.rename(path)

    def get(self, name):
        """None: there is none."""
        path = self.directory / self.key(name)
        return path.read_bytes() if path.is_file() else None

    def stored(self, prefix):
        found = {}
        for folder, _, files in os.walk(self.directory):
            for path in (pathlib.Path(folder) / file for file in files):
                name = self.name(str(path.relative_to(self.directory)))
                if name.startswith(prefix) and not path.is_symlink():
                    found[name] = path.read_bytes()
        return found


class S3Place(Place):
    """Another client of the service."""

    has_foreigner = True

    def __init__(self, storage, server, client, folders, journal):
        super().__init__(storage, server.new_bucket("model"), folders, journal)
        self.server, self.client = server, client

    def store(self, name, data):
        if data is None:
            self.client.delete_object(Bucket=self.container, Key=self.key(name))
        else:
            self.client.put_object(Bucket=self.container, Key=self.key(name), Body=data)

    def keys(self, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.container, Prefix=self.key(prefix))
        return [entry["Key"] for page in pages for entry in page.get("Contents", []) if not entry["Key"].startswith(".storagefs-probe")]

    def stored(self, prefix):
        found = {self.name(key): self.get(self.name(key)) for key in self.keys(prefix) if not key.endswith("/")}
        return {name: data for name, data in found.items() if data is not None}

    def get(self, name):
        """None: there is none."""
        try:
            return self.client.get_object(Bucket=self.container, Key=self.key(name))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def unfinished(self):
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=self.container).get("Uploads", [])]

    def remove(self):
        while keys := self.keys()[:1000]:
            self.client.delete_objects(Bucket=self.container, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
        self.server.remove_bucket(self.container)
