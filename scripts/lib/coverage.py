"""Sums up what gcov --json-format --stdout says, one document a line: which lines of src and drivers ran."""

import collections
import json
import os
import pathlib
import sys

WANTED = 85
ROOT = pathlib.Path(os.environ["STORAGEFS_ROOT"])


def read_lines(stream):
    """{file: {line: how often}} of src and drivers."""
    lines = collections.defaultdict(dict)
    for text in stream:
        document = json.loads(text)
        for file in document["files"]:
            path = pathlib.Path(document["current_working_directory"], file["file"]).resolve()
            if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in ("src", "drivers"):
                continue
            counts = lines[str(path.relative_to(ROOT))]
            for line in file["lines"]:
                counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return lines


def share(counts):
    return 100 * sum(map(bool, counts)) / len(counts)


def main():
    lines = read_lines(sys.stdin)
    if not lines:
        sys.exit("nothing was counted")
    folders = collections.defaultdict(list)
    every = []
    for file, counts in sorted(lines.items()):
        folders[os.path.dirname(file)] += counts.values()
        every += counts.values()
        if share(counts.values()) < WANTED:
            print(f"{share(counts.values()):6.1f} %  {file} ({sum(not count for count in counts.values())} lines did not run)")
        if os.environ.get("STORAGEFS_COVERAGE_LINES"):
            print("          ", *(line for line, count in sorted(counts.items()) if not count))
    print()
    for folder, counts in sorted(folders.items()):
        print(f"{share(counts):6.1f} %  {folder}/ ({len(counts):,} lines)")
    print(f"{share(every):6.1f} %  src and drivers ({len(every):,} lines)")
    if share(every) < WANTED:
        sys.exit(f"less than {WANTED} %")


main()
