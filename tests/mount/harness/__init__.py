"""What the tests that mount storagefs stand on.

process   running commands, waiting for conditions, guards that clean up even when the tests are killed
files     random content, comparing trees
servers   real S3 servers, started once per session; buckets and clients
proxy     the counting and fault-injecting proxy in front of a server
mount     one storagefs mount: configuration, life, logs
s3        one container of an S3 server, mounted through the proxy
fixtures  all of it as pytest fixtures; conftest.py of this folder's parent imports them
shared    one mount for all tests of a module

Environment: STORAGEFS_BINARY (default build/storagefs of the source tree), STORAGEFS_TEST_ENV ("NAME=value NAME=value",
shell quoting; added to the environment of the daemon), STORAGEFS_TEST_SERVERS (a directory: servers are shared by all
test processes that name it and outlive them; `tests/servers/stop-all.sh DIR` ends them), STORAGEFS_TEST_PORTS
(first-last), STORAGEFS_TEST_KEEP=1 (keep the directories of failed tests' mounts).
"""
