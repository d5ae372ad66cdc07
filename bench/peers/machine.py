"""machine.py - the machine as the bench sees it: its limits now, and who else uses it."""

import json
import os
import platform
import resource
import subprocess
import time

from figures import Limits


class Failure(Exception):
    """One sentence for the user."""


def output_of(command, **options):
    """(standard output and error, standard output alone) of a program that must succeed."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, **options)
    if result.returncode:
        tail = result.stderr.strip().splitlines()[-3:]
        raise Failure(f"{os.path.basename(str(command[0]))} ended with {result.returncode}: {' / '.join(tail)}")
    return result.stdout + "\n" + result.stderr, result.stdout


def parse_cpu_ticks(text):
    """(busy, stolen) ticks of all processors from /proc/stat. Waiting for a disk is not busy; stolen time is the host's."""
    fields = [int(x) for x in text.split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq = fields[:7]
    stolen = fields[7] if len(fields) > 7 else 0
    return user + nice + system + irq + softirq, stolen


def read_cpu_ticks():
    with open("/proc/stat") as file:
        return parse_cpu_ticks(file.read())


def own_seconds():
    """Processor time of this process and of all its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


class Watch:
    """Parts of the machine's time that other programs and the host took since the start."""

    def __init__(self):
        self.ticks_per_second, self.processors = os.sysconf("SC_CLK_TCK"), os.cpu_count()
        self.start = (time.monotonic(), read_cpu_ticks(), own_seconds())

    def taken(self):
        """{"others": ..., "stolen": ...}, each 0 to 1."""
        begin, (busy0, stolen0), own0 = self.start
        (busy, stolen), own = read_cpu_ticks(), own_seconds()
        whole = max(time.monotonic() - begin, 0.01) * self.processors
        others = (busy - busy0) / self.ticks_per_second - (own - own0)
        # Ticks are coarse: below two of them per processor nothing can be said.
        slack = 2 * self.processors / self.ticks_per_second
        return {"others": max(0.0, others - slack) / whole, "stolen": (stolen - stolen0) / self.ticks_per_second / whole}


class Machine:
    def __init__(self, whimbrel, threads, seconds):
        self.whimbrel, self.threads, self.seconds = whimbrel, threads, seconds
        self.limits = []  # all that were measured

    def measure(self):
        _, out = output_of([self.whimbrel, "devices", "--measure", "--seconds", self.seconds, "--threads", self.threads, "--json"])
        roofline = json.loads(out)["devices"][0]["roofline"]
        limits = Limits(roofline["read_bytes_per_second"], roofline["int8_ops_per_second"], roofline["f32_ops_per_second"])
        self.limits.append(limits)
        return limits

    def describe(self):
        _, out = output_of([self.whimbrel, "devices", "--threads", self.threads, "--json"])
        device = json.loads(out)["devices"][0]
        return {"cpu": device["description"], "isa": device["isa"], "logical_processors": os.cpu_count(), "l3_bytes": device["l3_bytes"],
                "system": platform.platform(), "load_before": os.getloadavg()[0]}


# --- memory of a running program ------------------------------------------------------------------------------------------


def parse_status(text):
    """{"now", "peak", "anonymous", "file"} in bytes from /proc/PID/status; None once the program has given its memory back."""
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.strip().endswith(" kB"):
            fields[key] = int(value.split()[0]) * 1024
    if not fields.get("VmRSS"):
        return None
    return {"now": fields["VmRSS"], "peak": fields["VmHWM"], "anonymous": fields.get("RssAnon", 0), "file": fields.get("RssFile", 0)}


def resident_memory(command, interval=0.01):
    """Runs a program to its end: its peak, and the median of the second half of its life, in bytes."""
    samples = []
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status") as file:
                    sample = parse_status(file.read())
            except (OSError, ValueError):
                sample = None
            if sample:
                samples.append(sample)
            time.sleep(interval)
    if process.returncode or not samples:
        raise Failure(f"{os.path.basename(str(command[0]))} ended with {process.returncode}")
    later = sorted(samples[len(samples) // 2:], key=lambda s: s["now"])[(len(samples) - len(samples) // 2) // 2]
    return {"steady": later["now"], "steady_anonymous": later["anonymous"], "steady_file": later["file"],
            "peak": max(s["peak"] for s in samples)}


def first_output_seconds(command):
    """Seconds from starting a program to its first byte on standard output."""
    start = time.perf_counter()
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        first = os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - start
        while os.read(process.stdout.fileno(), 65536):
            pass
        if process.wait() or not first:
            raise Failure(f"{os.path.basename(str(command[0]))} gave no token")
    return seconds
