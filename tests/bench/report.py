"""What a benchmark found: as one document, as a table for people, as JSON and as a picture."""

import json
import statistics

import chart
import rows

MEMORY_LIMIT_MIB = 512  # the default of memory_limit
LIMITS = ("bare client", "file on disk")  # no peers: the same loop in its plainest form


def parse_json(text):
    return json.loads(text)


def summary(runs):
    """Median and spread of the runs that succeeded, with the costs of the median run."""
    good = sorted((run for run in runs if "error" not in run), key=lambda run: run["value"])
    if not good:
        return {"error": runs[0]["error"]}
    middle = good[(len(good) - 1) // 2]
    return {**middle, "value": statistics.median(run["value"] for run in good), "least": good[0]["value"], "most": good[-1]["value"],
            "runs": len(good), "failed": len(runs) - len(good)}


def advantage(row, subject, others):
    """How many times better than the best of the others, and which that is."""
    figures = {label: cell["value"] for label, cell in others.items() if "error" not in cell}
    if "error" in subject or not figures:
        return None, None
    best = (max if row.better == "more" else min)(figures, key=figures.get)
    over, under = (subject["value"], figures[best]) if row.better == "more" else (figures[best], subject["value"])
    return (over / under if under > 0 else None), best


def verdict(row, subject, ratio):
    """{"met": whether the target is, "factor": how far along it is, 1 and more being met, "figure": the same without the
    bounds on bytes and requests}."""
    target = row.target
    if not target or "error" in subject:
        return None
    factors = []
    if target.ratio:
        if ratio is None:
            return None
        factors.append(ratio / target.ratio)
    if target.value:
        factors.append(subject["value"] / target.value if row.better == "more" else target.value / max(subject["value"], 1e-9))
    figure_factor = min(factors)
    if target.most_bytes and "sent_bytes" in subject:
        factors.append(target.most_bytes / max(subject["sent_bytes"] + subject["received_bytes"], 1))
    if target.most_requests and "requests" in subject:
        factors.append(target.most_requests / max(sum(subject["requests"].values()), 1))
    return {"met": min(factors) >= 1, "factor": min(factors), "figure": figure_factor}


def entry_of(row, session, sizes, runs):
    """What is kept of a row: runs are those of each contestant."""
    entry = {"name": row.name, "title": sizes.title(row), "unit": row.unit, "better": row.better, "latency_ms": session.latency,
             "target": row.target.text(row) if row.target else ""}
    cells = {label: summary(found) for label, found in runs.items() if found}
    subject = next((label for label in session.subjects if label in cells), None)
    if subject is None:
        return {**entry, "skipped": "not measured"}
    others = {label: cell for label, cell in cells.items() if label not in (subject, "against", *LIMITS)}
    ratio, best = advantage(row, cells[subject], others)
    entry.update(subject=subject, results=cells, ratio=ratio, best=best, verdict=verdict(row, cells[subject], ratio))
    limit = next((label for label in LIMITS if label in cells), None)
    if limit:
        entry["limit"], (entry["limit_ratio"], _) = limit, advantage(row, cells[subject], {limit: cells[limit]})
    if "against" in cells:
        entry["against_ratio"], _ = advantage(row, cells[subject], {"against": cells["against"]})
    return entry


def memory_runs(runs):
    """The same runs with the daemon's memory for their figure."""
    return {label: [run if "error" in run else {**run, "value": run["rss_mib"]} for run in found] for label, found in runs.items()}


def document(bench, facts):
    """All of it, in the form that is kept."""
    found = []
    for row, session in bench.rows:
        runs = bench.results.get(row.name, {})
        for each, figures in ((row, runs), (row.memory, memory_runs(runs))):
            if each:
                entry = entry_of(each, session, bench.sizes, figures)
                found.append({**entry, "skipped": bench.skipped[row.name]} if row.name in bench.skipped else entry)
    return {**facts, "rows": found + list(worst_memory(found))}


def worst_memory(entries):
    """A last row: the most memory that each took in any row over the network."""
    most = {}
    for entry in entries:
        for label, cell in entry.get("results", {}).items():
            if "requests" in cell and label not in LIMITS and cell["rss_mib"] > most.get(label, {"value": 0})["value"]:
                most[label] = {**cell, "value": cell["rss_mib"], "least": cell["rss_mib"], "most": cell["rss_mib"], "at": entry["name"]}
    if "storagefs" not in most:
        return
    row = rows.Row("rss-worst", "memory, the most of all rows", "MiB", None, rows.bounded(MEMORY_LIMIT_MIB + 32), "less")
    ratio, best = advantage(row, most["storagefs"], {label: cell for label, cell in most.items() if not label.startswith(("storagefs", "against"))})
    yield {"name": row.name, "title": row.title, "unit": row.unit, "better": row.better, "latency_ms": 0, "target": row.target.text(row),
           "subject": "storagefs", "results": most, "ratio": ratio, "best": best, "verdict": verdict(row, most["storagefs"], ratio)}


def figure(cell):
    if cell is None:
        return ""
    if "error" in cell:
        return "failed"
    spread = f" ({cell['least']:.4g}..{cell['most']:.4g})" if cell["runs"] > 1 else ""
    return f"{cell['value']:.4g}{spread}"


def costs(cell):
    if "error" in cell:
        return cell["error"].splitlines()[0][:70]
    if "at" in cell:
        return f"at {cell['at']}"
    words = [f"{cell['cpu_seconds']:.2f} s CPU", f"{cell['rss_mib']:.0f} MiB"]
    if "requests" in cell:
        moved = (cell["sent_bytes"] + cell["received_bytes"]) / 1e6
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(cell["requests"].items()))
        words.append(f"{moved:.1f} MB moved: {kinds or 'no request'}")
    return ", ".join(words)


def judgement(entry):
    words = [f"{entry['ratio']:.2f}x {entry['best']}"] if entry["ratio"] else []
    words += [f"{entry['against_ratio']:.2f}x against"] if entry.get("against_ratio") else []
    words += [f"{entry['limit_ratio']:.2f}x {entry['limit']}"] if entry.get("limit_ratio") else []
    if entry["target"]:
        judged = entry["verdict"]
        state = "" if judged is None else ": met" if judged["met"] else f": missed, at {judged['factor']:.2f} of it"
        words.append(f"target {entry['target']}{state}")
    return "; ".join(words)


def text(found):
    """The table for people."""
    machine = found["machine"]
    lines = ["", f"{found['command']}  ({found['date']}, commit {found['commit']})",
             f"{machine['processors']} x {machine['model']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}; "
             f"endpoint: {found['endpoint']}", ""]
    for entry in found["rows"]:
        lines.append(f"{entry['name']}: {entry['title']}, {entry['unit']}")
        if "skipped" in entry:
            lines += [f"    skipped: {entry['skipped']}", ""]
            continue
        for label, cell in entry["results"].items():
            lines.append(f"    {label:22} {figure(cell):28} {costs(cell)}")
        lines += [f"    -> {judgement(entry)}" if judgement(entry) else "", ""]
    judged = [entry["verdict"]["met"] for entry in found["rows"] if entry.get("verdict")]
    lines.append(f"targets: {sum(judged)} met, {len(judged) - sum(judged)} missed, of {len(judged)} judged")
    return "\n".join(lines)


def save(found, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    picture = file.with_suffix(".svg")
    picture.write_text(chart.draw(found), encoding="utf-8")
    print(f"bench: written {file} and {picture}")
