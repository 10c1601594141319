# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of what tools/bench/run wrote."""
import collections
import json
import math
import statistics

LEAST_ROUNDS = 5 # fewer give no ratio
LOWER_IS_BETTER = ("s", "MiB", "CPU s per GiB")
PEERS = ["gocryptfs", "securefs", "encfs", "cryfs"]


class Results:
    """figures[step][system] = {round: figure}, in the order in which steps and systems came."""

    def __init__(self, path):
        self.machine, self.units, self.labels = {}, {}, {}
        self.figures = collections.defaultdict(lambda: collections.defaultdict(dict))
        self.cpu, self.rss = (collections.defaultdict(lambda: collections.defaultdict(list)) for _ in range(2))
        self.failures = []
        for line in path.read_text().splitlines():
            data = json.loads(line)
            if data["kind"] == "machine":
                self.add_machine(data)
            elif data["kind"] == "failure":
                self.failures.append(data)
            else:
                step, system = data["step"], data["system"]
                self.units[step], self.labels[system] = data["unit"], data["label"]
                self.figures[step][system][data["round"]] = data["figure"]
                self.cpu[step][system].append(data["cpu"])
                self.rss[step][system].append(data["rss_kib"])

    def add_machine(self, data):
        """Of a run, or of one that went on with it and may have had other systems."""
        known = {system["name"] for system in self.machine.get("systems", [])}
        new = [system for system in data["systems"] if system["name"] not in known]
        self.machine = {**data, "systems": self.machine.get("systems", []) + new, "rounds": max(data["rounds"], self.machine.get("rounds", 0))}

    def systems(self):
        return list(self.labels)

    def ratios(self, step, ours, other):
        """How many times better ours is, for each round in which both were measured; higher is better."""
        a, b = self.figures[step].get(ours, {}), self.figures[step].get(other, {})
        lower_is_better = self.units[step] in LOWER_IS_BETTER
        return [b[r] / a[r] if lower_is_better else a[r] / b[r] for r in sorted(set(a) & set(b)) if a[r] > 0 and b[r] > 0]

    def best_peer(self, step):
        """The peer whose median is best."""
        medians = {peer: statistics.median(self.figures[step][peer].values()) for peer in PEERS if self.figures[step].get(peer)}
        if not medians:
            return None
        return (min if self.units[step] in LOWER_IS_BETTER else max)(medians, key=medians.get)


def short(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def cell(values):
    values = sorted(values)
    if not values:
        return "-"
    return short(values[0]) if len(values) == 1 else f"{short(statistics.median(values))} ({short(values[0])} to {short(values[-1])})"


def table(header, rows):
    out = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(out + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def figures_table(results):
    systems = results.systems()
    rows = [[f"{step}, {results.units[step]}"] + [cell(results.figures[step].get(system, {}).values()) for system in systems]
            for step in results.figures]
    return table(["step"] + [results.labels[system] for system in systems], rows)


def ratio_cell(ratios):
    return cell(ratios) if len(ratios) >= LEAST_ROUNDS else f"{len(ratios)} rounds only"


def ratios_table(results, ours):
    rows, all_ratios = [], collections.defaultdict(list)
    for step in results.figures:
        peer = results.best_peer(step)
        row = [step]
        for column, other in (("peer", peer), ("passthrough", "passthrough"), ("native", "native")):
            ratios = results.ratios(step, ours, other) if other else []
            if len(ratios) >= LEAST_ROUNDS:
                all_ratios[column].append(statistics.median(ratios))
            row.append((f"{peer}: " if column == "peer" and peer else "") + ratio_cell(ratios))
        rows.append(row)
    means = [f"{math.exp(statistics.fmean(map(math.log, values))):.2f}" if (values := all_ratios[column]) else "-"
             for column in ("peer", "passthrough", "native")]
    rows.append(["*geometric mean*"] + means)
    return table(["step", "against the best peer", "against the pass-through", "against the backing filesystem"], rows)


def cost_table(results):
    systems = [system for system in results.systems() if system != "native"]
    rows = [[step] + [f"{statistics.median(results.cpu[step][system]):.2f} / {statistics.median(results.rss[step][system]) / 1024:.0f}"
                      if results.cpu[step].get(system) else "-" for system in systems] for step in results.figures]
    return table(["step"] + [results.labels[system] for system in systems], rows)


def page(results):
    machine = results.machine
    parts = ["<!-- SPDX-License-Identifier: Apache-2.0 -->", "<!-- Made by tools/bench/run. -->", "# Measurements", "",
             f"{machine['processors']} processors ({machine['model']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
             f"{machine['rounds']} rounds, scale {machine['scale']}. Each round and system has a new {machine['backing']}. Median (lowest to highest).",
             "", table(["system", "version", "options"], [[s["label"], s["version"], s["options"] or "none"] for s in machine["systems"]]), ""]
    for ours in [system for system in results.systems() if system.startswith("xtsfs")]:
        parts += [f"## Ratios, {results.labels[ours]}", "", f"Higher is better; none from fewer than {LEAST_ROUNDS} rounds.", "",
                  ratios_table(results, ours), ""]
    parts += ["## Figures", "", "What is in s and in MiB is better when lower, rates (per s, MiB/s) when higher.", "", figures_table(results), "",
              "## CPU seconds and memory (MiB) of the daemon", "", cost_table(results), ""]
    if results.failures:
        parts += ["## What could not be measured", "", table(["system", "suite", "round", "why"],
                                                             [[f["system"], f["suite"], f["round"], f["why"].replace("|", "/")] for f in results.failures]), ""]
    return "\n".join(parts)


def plot(results, path):
    """One row of bars for each step: how fast each system is against the pass-through."""
    import matplotlib # an import of its own: tables need no plots
    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot
    matplotlib.rcParams["svg.hashsalt"] = "xtsfs"
    systems = [system for system in results.systems() if system not in ("native", "passthrough")]
    steps = [step for step in results.figures if results.figures[step].get("passthrough")]
    figure, axes = pyplot.subplots(figsize=(9, 0.28 * len(steps) * max(len(systems), 1) / 3 + 1.5))
    height = 0.85 / max(len(systems), 1)
    for at, system in enumerate(systems):
        values = [statistics.median(results.ratios(step, system, "passthrough") or [0]) for step in steps]
        axes.barh([row + at * height for row in range(len(steps))], values, height, label=results.labels[system])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([row + 0.4 for row in range(len(steps))], steps, fontsize=7)
    axes.set_ylim(len(steps), -0.2)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast as libfuse's pass-through")
    axes.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))
