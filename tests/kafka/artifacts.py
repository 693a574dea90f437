"""The broker's class path: fetched by Maven from Maven Central once, and remembered in build/kafka."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("pom.xml")
REMEMBERED = ROOT / "build" / "kafka" / "classpath"
JAVA_MIN = 17
FETCH_S = 600.0


class Unavailable(Exception):
    """There is no broker to be had; the message says why in one line."""


def kafka_version() -> str:
    """Return the version of the broker that pom.xml names."""
    found = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([\d.]+)</version>", POM.read_text())
    if found is None:
        raise Unavailable(f"{POM.name} names no version of Kafka")
    return found[1]


def java() -> str:
    """Return the command that runs Java 17 or newer; raises `Unavailable`."""
    home = os.environ.get("JAVA_HOME")
    command = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if command is None:
        raise Unavailable("there is no java")
    try:
        shown = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"java does not run: {error}") from error
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < JAVA_MIN:
        raise Unavailable(f"java is {version[1] if version else 'unknown'}, Kafka needs {JAVA_MIN}")
    return command


def classpath(*, show: bool) -> str:
    """
    Return the class path of the broker in pom.xml, fetching what is missing; *show* lets Maven tell how far it is.

    Raises:
        Unavailable: there is no Maven, or it could not fetch.
    """
    known = remembered()
    if known is not None:
        return known
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("there is no mvn to fetch the broker with")
    REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
    fresh = REMEMBERED.with_name(f"classpath.{os.getpid()}")
    command = [maven, "-B", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={fresh}"]
    run = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = _follow(run, show)
        status = run.wait(FETCH_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        run.kill()
        run.wait()
        raise
    finally:
        if run.stdout is not None:
            run.stdout.close()
    if status != 0 or not fresh.exists():
        raise Unavailable(f"Maven could not fetch the broker: {said}")
    fresh.replace(REMEMBERED)
    found = remembered()
    if found is None:
        raise Unavailable("Maven named files that do not exist")
    return found


def remembered() -> str | None:
    """Return the class path found earlier, if it is of this pom.xml and all its files are still there."""
    try:
        text = REMEMBERED.read_text().strip()
        if REMEMBERED.stat().st_mtime < POM.stat().st_mtime:
            return None
    except OSError:
        return None
    return text if text and all(Path(part).exists() for part in text.split(os.pathsep)) else None


def _follow(run: "subprocess.Popen[str]", show: bool) -> str:
    """Show one line per file that was fetched, and return the first error."""
    error, count = "no reason given", 0
    for text in run.stdout or ():
        if text.startswith("[ERROR]") and error == "no reason given":
            error = text.removeprefix("[ERROR]").strip()[:300]
        if text.startswith("Downloaded from") and show:
            if not count:
                print("fliq: fetching the Kafka broker from Maven Central (once, about 60 MB)", flush=True)
            count += 1
            name = text.split("/")[-1].split(" ")[0]
            size = text[text.rfind("(") :].strip()
            print(f"fliq: {count:3} {name} {size}", file=sys.stdout, flush=True)
    return error
