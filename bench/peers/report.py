#!/usr/bin/env python3
"""bench/peers/report.py - the result as a table, as Markdown and as an SVG chart. Everything comes from the JSON document.

As a program it puts several results of one machine into one report."""

import argparse
import json
import statistics
import sys
from xml.sax.saxutils import escape


def number(value):
    """Three significant figures, more before the point."""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def sentence(text):
    return text[0].upper() + text[1:] + "."


def percent(summary):
    return f"{100 * summary['median']:.0f} %" if summary else ""


LIMIT_NAMES = {"read": ("read bandwidth", 1e9, "GB/s"), "int8": ("int8 peak", 1e9, "GOP/s"), "f32": ("fp32 peak", 1e9, "GFLOP/s")}


def rows_of(document):
    """(model, row) of every row with a result."""
    for model in document["models"]:
        for row in model["rows"]:
            yield model, row


def checks_line(model):
    parts = []
    for name, check in model["checks"]["perplexity"].items():
        difference = "" if check["relative_difference"] is None else f" ({100 * check['relative_difference']:+.2f} %)"
        parts.append(f"{name} {check['value']:.6g}{difference}")
    return "perplexity: " + ", ".join(parts)


def memory_line(model):
    if "memory" not in model:
        return None
    used = ", ".join(f"{name} {use['beyond_percent']:.1f} %" for name, use in model["memory"]["programs"].items())
    return f"resident memory beyond weights and attention state ({model['memory']['needed_bytes'] / 1e6:.0f} MB): {used}"


def heading(document):
    machine = document["machine"]
    return (f"{machine['cpu']}, {document['threads']} threads, level {machine['isa']}; "
            f"{document['repetitions']} pairs in turns; {document['date']}")


def text_table(document):
    lines = [heading(document)] if document["final"] else ["PROVISIONAL: not to be quoted", heading(document)]
    for model in document["models"]:
        lines += ["", f"{model['name']}", f"  {checks_line(model)}",
                  f"  {'':34} {'whimbrel':>16} {'peer':>16} {'':14} {'ratio':>6} {'of pairs':>15} {'share':>6} {'pairs':>6}"]
        for row in model["rows"]:
            r = row["result"]
            ours, theirs, ratio = r["ours"], r["theirs"], r["ratio"]
            lines.append(f"  {row['title'] + ', ' + row['unit']:34} {number(ours['median']):>9} {ours['spread_percent']:4.0f} % "
                         f"{number(theirs['median']):>9} {theirs['spread_percent']:4.0f} % {row['peer']:14} {ratio['median']:6.2f} "
                         f"{ratio['min']:6.2f} to {ratio['max']:5.2f} {percent(r['our_share']):>6} {r['pairs']:>6}")
        if memory_line(model):
            lines.append(f"  {memory_line(model)}")
    lines += ["", limits_line(document)]
    lines += [builds_line(document)] if builds_line(document) else []
    lines += [f"not final: {reason}" for reason in document["reasons"]]
    return "\n".join(lines) + "\n"


def builds_line(document):
    """What had to be done about peers' AMX, or None."""
    lines = []
    for amx, said in (("corrected", "with one line added to its AMX kernels, which end with an illegal instruction without it"), ("left out", "without AMX")):
        names = [name for name, facts in document.get("programs", {}).items() if (facts.get("amx") or ("left out" if facts.get("without_amx") else None)) == amx]
        lines += [f"{' and '.join(names)} built {said}"] if names else []
    return "; ".join(lines) or None


def limits_line(document):
    parts = []
    for kind, (name, scale, unit) in LIMIT_NAMES.items():
        s = document["limits"][kind]
        parts.append(f"{name} {number(s['median'] / scale)} {unit} ({number(s['min'] / scale)} to {number(s['max'] / scale)})")
    return "limits measured between the runs: " + ", ".join(parts)


def markdown(document):
    lines = [sentence(heading(document)), ""]
    for model in document["models"]:
        lines += [f"### {model['name']}", "", sentence(checks_line(model)), "",
                  "| | Whimbrel | peer | ratio | of pairs | share of the limit |", "|---|---|---|---|---|---|"]
        for row in model["rows"]:
            r = row["result"]
            limit = LIMIT_NAMES[r["limit"]][0]
            share = f"{percent(r['our_share'])} of {limit}" if r["our_share"] else ""
            lines.append(f"| {row['title']}, {row['unit']} | {number(r['ours']['median'])} | {number(r['theirs']['median'])} ({row['peer']}) | "
                         f"{r['ratio']['median']:.2f} | {r['ratio']['min']:.2f} to {r['ratio']['max']:.2f} | {share} |")
        if memory_line(model):
            lines += ["", sentence(memory_line(model))]
        lines.append("")
    lines.append(sentence(limits_line(document)))
    lines += ["", sentence(builds_line(document))] if builds_line(document) else []
    return "\n".join(lines) + "\n"


# --- chart ----------------------------------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT, ROW, HEAD, TOP = 920, 270, 320, 26, 34, 56
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; } .model { font-weight: 600; } .small { font-size: 11px; fill: #6e7781; }
  .bar { fill: #2f81c7; } .spread { stroke: #6e7781; stroke-width: 1.5; } .even { stroke: #6e7781; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; } .bar { fill: #4493f8; } .spread, .even { stroke: #9198a1; }
  }
"""


def svg(document):
    """Bars of the ratios with the range of the pairs, and both values. The dashed line is the peer's speed."""
    rows = list(rows_of(document))
    longest = max([row["result"]["ratio"]["max"] for _, row in rows] + [2.0])
    scale = (WIDTH - LEFT - RIGHT) / longest
    out, y, last = [], TOP, None
    for model, row in rows:
        r = row["result"]
        if model is not last:
            out.append(f'<text class="model" x="16" y="{y + 22}">{escape(model["name"])}</text>')
            y, last = y + HEAD, model
        ratio, middle = r["ratio"], y + ROW / 2
        out.append(f'<text x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end">{escape(row["title"])}</text>')
        out.append(f'<rect class="bar" x="{LEFT}" y="{y + 4}" width="{ratio["median"] * scale:.1f}" height="{ROW - 8}" rx="2"/>')
        out.append(f'<line class="spread" x1="{LEFT + ratio["min"] * scale:.1f}" x2="{LEFT + ratio["max"] * scale:.1f}" y1="{middle}" y2="{middle}"/>')
        end = LEFT + ratio["max"] * scale + 8
        out.append(f'<text x="{end:.1f}" y="{middle + 4.5}">{ratio["median"]:.2f}× <tspan class="small">'
                   f'{number(r["ours"]["median"])} against {number(r["theirs"]["median"])} {escape(row["unit"])} ({escape(row["peer"])})</tspan></text>')
        y += ROW
    bottom = y + 6
    even = f'<line class="even" x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="{TOP}" y2="{bottom}"/>'
    foot = (f'<text class="small" x="16" y="{bottom + 20}">Median ratio of pairs run in turns, with their range; above 1 (dashed): Whimbrel is better.</text>'
            f'<text class="small" x="16" y="{bottom + 36}">{escape(heading(document))}</text>')
    title = "Whimbrel next to its peers" + ("" if document["final"] else " (provisional)")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 48}" viewBox="0 0 {WIDTH} {bottom + 48}" role="img" '
            f'aria-label="{escape(title)}">\n<style>{STYLE}</style>\n<text class="title" x="16" y="30">{escape(title)}</text>\n'
            + "\n".join(out) + f"\n{even}\n{foot}\n</svg>\n")


# --- several results ------------------------------------------------------------------------------------------------------

def merged(documents):
    """One document of several measured one after the other; the medians of limits are medians of theirs."""
    first = documents[0]
    for other in documents[1:]:
        for key, value in {"cpu": other["machine"]["cpu"], "isa": other["machine"]["isa"]}.items():
            if first["machine"][key] != value:
                raise SystemExit(f"report.py: results of different machines: {first['machine'][key]} and {value}")
        if first["threads"] != other["threads"]:
            raise SystemExit("report.py: results with different numbers of threads")
    limits = {kind: {"median": statistics.median(d["limits"][kind]["median"] for d in documents),
                     "min": min(d["limits"][kind]["min"] for d in documents),
                     "max": max(d["limits"][kind]["max"] for d in documents)} for kind in LIMIT_NAMES}
    return first | {"models": [m for d in documents for m in d["models"]], "limits": limits, "final": all(d["final"] for d in documents),
                    "reasons": [reason for d in documents for reason in d["reasons"]], "repetitions": min(d["repetitions"] for d in documents)}


def main():
    parser = argparse.ArgumentParser(description="Several results of bench/peers/run.py --json, measured on one machine, as one report.")
    parser.add_argument("results", nargs="+", metavar="RESULT.json")
    parser.add_argument("--markdown", help="also write the report to this file")
    parser.add_argument("--svg", help="also write a chart to this file")
    options = parser.parse_args()
    documents = []
    for path in options.results:
        with open(path, encoding="utf-8") as file:
            documents.append(json.load(file))
    document = merged(documents)
    sys.stdout.write(text_table(document))
    if not document["final"] and (options.markdown or options.svg):
        raise SystemExit("report.py: provisional results: neither Markdown nor chart is written")
    for path, text in ((options.markdown, markdown), (options.svg, svg)):
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text(document))


if __name__ == "__main__":
    main()
