"""Starts the stacks beside this file, and says what became of each.

    runner.py [--write] [--audit FILE] RESULTS [STACK…]

Compose files, their mounts, options and labels are real. What runs in them is not: each image is a stand-in
that looks at what is mounted, as its first instruction and whenever that changes, and prints what it can read
and write. There is no network: services get none, unless they have the host's or another one's. Ports, builds
and what only a graphics card has are left out; a device that is not there is `/dev/null` under its name.

Needs Docker, docker-compose (2.24 or newer) and root. Standard library only, as it runs in the guest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = Path("/srv/stacks")
OWN = (WORK, Path("/srv/corpus"), Path("/opt/corpus"))
"""Where directories of the stacks' own are: made for them, with something to read, and removed afterwards."""
CONFIGS = Path("/run/corpus")
IMAGE = "corpus-stand-in"
SEED = "seed"
DIRECTORIES_OF_DEVICES = {"/dev/dri", "/dev/bus/usb"}
PROBED: set[Path] = set()
"""Where stand-ins may have written their probe: the sources of bind mounts."""
MADE: list[Path] = []
"""Devices that were not there."""
KEPT = {"corpus-kept": (), "corpus-parts": ("one",)}
"""Volumes that are there before, with directories in them."""
_DROPPED = ("build", "develop", "ports", "networks", "links", "healthcheck", "pull_policy")

PROBE = r"""#!/bin/sh
# Prints one line of what can be read and written at each of $PROBE, and again when that changes.
look() {
  line=
  for at in $PROBE; do
    r=-; w=-
    if [ -S "$at" ]; then
      case $( { true >>"$at"; } 2>&1) in *"o such device"*) w=w ;; esac
    elif [ -d "$at" ]; then
      [ -n "$WRITE" ] && { true >"$at/.probe"; } 2>/dev/null && w=w
      for here in "$at/seed" "$at/.probe" "$at"/*; do
        # Any will do: which comes first is chance where Docker names them. To open a fifo would wait.
        { [ -d "$here" ] || { [ -f "$here" ] && true <"$here"; }; } 2>/dev/null && r=r && break
      done
    else
      { true <"$at"; } 2>/dev/null && r=r
      [ -n "$WRITE" ] && { true >>"$at"; } 2>/dev/null && w=w
    fi
    line="$line $at=$r$w"
  done
}
last=none
while :; do
  look
  [ "$line" = "$last" ] || echo "looked:$line"
  last=$line
  if [ -n "$ONCE" ]; then case $line in *=-*) exit 1 ;; *) exit 0 ;; esac; fi
  sleep 1
done
"""


def run(*words: str, **more: Any) -> str:
    """Run a command and give what it prints; raises `CalledProcessError`."""
    done = subprocess.run(words, check=True, capture_output=True, text=True, **more)
    return str(done.stdout)


def make_image(tree: Path) -> None:
    """Make the stand-in from a tree with busybox in it."""
    shutil.copytree("/bin", tree / "bin", symlinks=True, ignore=lambda _, names: set(names) - {"busybox"})
    (tree / "bin/sh").symlink_to("busybox")
    (tree / "bin/sleep").symlink_to("busybox")
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "probe").write_text(PROBE)
    (tree / "probe").chmod(0o755)
    archive = tree.with_suffix(".tar")
    run("tar", "-C", str(tree), "-cf", str(archive), ".")
    run("docker", "import", str(archive), IMAGE)
    archive.unlink()


def stacks(names: Iterable[str]) -> list[str]:
    """Return the names of the stacks: those that are asked for, or all."""
    return list(names) or sorted(path.stem for path in HERE.glob("*.yaml"))


def prepared(name: str, *, write: bool) -> Path:
    """Bring a stack to where it is started from, with what it needs there; give its compose file."""
    place = WORK / name
    place.mkdir(parents=True)
    shutil.copy(HERE / f"{name}.yaml", place / "compose.yaml")
    config = config_of(name, place)
    files = {str(place / file) for file in config.pop("x-files", ())}
    awaited = {
        other
        for service in config["services"].values()
        for other, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    for key, service in config["services"].items():
        stand_in(service, files, write=write)
        for other in service.get("volumes_from", ()):
            theirs = config["services"][other.partition(":")[0]].get("volumes", ())
            service["environment"]["PROBE"] += "".join(f" {one['target']}" for one in theirs)
        if key in awaited:
            service["environment"]["ONCE"] = "1"
    for file in (*config.get("secrets", {}).values(), *config.get("configs", {}).values()):
        seed(Path(file["file"]), is_file=True)
    for volume in (config.get("volumes") or {}).values():
        device = (volume.get("driver_opts") or {}).get("device")
        if device:
            seed(Path(device))
    config.pop("networks", None)
    (place / "started.json").write_text(json.dumps(config, indent=1))
    return place / "started.json"


def config_of(name: str, place: Path) -> dict[str, Any]:
    """Return what compose makes of a stack's file; asked once for all runs."""
    kept = CONFIGS / f"{name}.json"
    if not kept.exists():
        words = ("-f", "compose.yaml", "--project-name", name, "config", "--format", "json")
        CONFIGS.mkdir(exist_ok=True)
        kept.write_text(run("docker-compose", *words, cwd=place))
    config: dict[str, Any] = json.loads(kept.read_text())
    return config


def stand_in(service: dict[str, Any], files: set[str], *, write: bool) -> None:
    """Put the stand-in in the place of what a service would run."""
    for key in _DROPPED:
        service.pop(key, None)
    mode = service.get("network_mode", "")
    if not mode.startswith(("host", "service:", "container:")):
        service["network_mode"] = "none"
    places = []
    for volume in service.get("volumes", ()):
        if volume["type"] == "bind":
            PROBED.add(Path(volume["source"]))
            seed(Path(volume["source"]), is_file=volume["source"] in files)
        if volume["type"] != "tmpfs":
            places.append(volume["target"])
    secrets = [one.get("target") or one["source"] for one in service.get("secrets", ())]
    places += [os.path.join("/run/secrets", one) for one in secrets]
    places += [one.get("target") or f"/{one['source']}" for one in service.get("configs", ())]
    service |= {
        "image": IMAGE,
        "entrypoint": ["/bin/sh", "/probe"],
        "command": [],
        "stop_grace_period": "0s",
        "environment": {"PROBE": " ".join(places), "WRITE": "1" if write else ""},
    }
    if service.get("read_only"):
        service["tmpfs"] = service.get("tmpfs", ["/tmp"])
    _devices(service)


def _devices(service: dict[str, Any]) -> None:
    wanted = (service.get("deploy") or {}).get("resources", {}).get("reservations", {}).pop("devices", ())
    given = [one if isinstance(one, str) else one["source"] for one in service.pop("devices", ())]
    given = [one.split(":")[0] for one in given if one.startswith("/")] + [
        "/dev/nvidia0" for one in (*wanted, *(one for one in given if not one.startswith("/")))
    ]
    for one in given:
        node = Path(one) / "node" if one in DIRECTORIES_OF_DEVICES else Path(one)
        if not Path(one).exists():
            node.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            MADE.append(node)
    if given:
        service["devices"] = [f"{one}:{one}" for one in dict.fromkeys(given)]


def seed(path: Path, *, is_file: bool = False) -> None:
    """Make what a stack of its own would have there; what is the host's is as it is."""
    if not any(path.is_relative_to(own) for own in OWN):
        return
    if is_file:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("seed\n")
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / SEED).write_text("seed\n")


def start(name: str, *, write: bool) -> str:
    """Start a stack as its user does; give what compose says where it could not."""
    file = prepared(name, write=write)
    # Of two made within milliseconds that want one directory, either may be the first for mcsd watching.
    in_turn = [[one] for one in json.loads(file.read_text()).get("x-in-turn", ())] or [[]]
    for services in in_turn:
        done = subprocess.run(
            [
                "docker-compose",
                "-f",
                str(file),
                "--project-name",
                name,
                "up",
                "-d",
                "--pull",
                "never",
                *services,
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        if len(in_turn) > 1:
            wait_for_mcsd()
    return ""


def inspected() -> list[dict[str, Any]]:
    """Return what Docker says of every container, running or not."""
    ids = run("docker", "ps", "-aq").split()
    return json.loads(run("docker", "inspect", *ids)) if ids else []


def looked_at(said: Mapping[str, str]) -> dict[str, Any]:
    """Say of each service whether it runs, what it could do first, and what last."""
    found: dict[str, Any] = {name: {"error": text, "services": {}} for name, text in said.items()}
    for one in inspected():
        labels = one["Config"]["Labels"] or {}
        stack = found.get(labels.get("com.docker.compose.project", ""))
        if stack is None:
            continue
        state = one["State"]
        started = state["Running"] or (state["Status"] == "exited" and state["ExitCode"] == 0)
        lines = _lines(one["LogPath"])
        stack["services"][labels["com.docker.compose.service"]] = {
            "started": started,
            "first": _places(lines[0]) if lines else {},
            "last": _places(lines[-1]) if lines else {},
        }
    return found


def audited() -> dict[str, list[str]]:
    """Return, for each `stack/service`, the rules by which `mcsctl audit` finds something.

    Also of what has ended, or what the policy does not let Docker start.
    """
    done = subprocess.run(
        ["mcsctl", "--json", "audit", "--all", "--inodes", "100"], capture_output=True, text=True
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError(done.stderr)
    rules: dict[str, list[str]] = {}
    for one in json.loads(done.stdout)["findings"]:
        rules.setdefault(one["subject"], []).append(one["rule"])
    found = {}
    for one in inspected():
        labels = one["Config"]["Labels"] or {}
        service = f"{labels['com.docker.compose.project']}/{labels['com.docker.compose.service']}"
        found[service] = sorted(set(rules.get(one["Name"].lstrip("/"), ())))
    return found


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    entries = [json.loads(line)["log"] for line in Path(path).read_text().splitlines()]
    return [entry.strip() for entry in entries if entry.startswith("looked:")]


def _places(line: str) -> dict[str, str]:
    return dict(part.rsplit("=", 1) for part in line.removeprefix("looked:").split())


def settle() -> None:
    """Wait until mcsd, where it runs, has nothing left to do, and the stand-ins have looked again."""
    wait_for_mcsd()
    subprocess.run(["sleep", "3"], check=True)


def wait_for_mcsd() -> None:
    """Wait until mcsd, where it runs, has nothing left to do; up to a minute."""
    for _ in range(60 if shutil.which("mcsctl") else 0):
        done = subprocess.run(["mcsctl", "--json", "status"], capture_output=True, text=True)
        if done.returncode == 3:
            break
        status = json.loads(done.stdout) if done.stdout else {}
        if status.get("synced") and not status["containers"]["unsettled"] and not status["work"]:
            break
        subprocess.run(["sleep", "1"], check=True)


def clear() -> None:
    """Remove every container and volume, and what was made for the stacks."""
    ids = run("docker", "ps", "-aq").split()
    if ids:
        run("docker", "rm", "-f", "-v", *ids)
    volumes = run("docker", "volume", "ls", "-q").split()
    if volumes:
        run("docker", "volume", "rm", "-f", *volumes)
    for own in OWN:
        shutil.rmtree(own, ignore_errors=True)
    while MADE:
        node = MADE.pop()
        node.unlink()
        # Left empty, it would look like a host's own to the next run, and Docker takes no such device.
        if str(node.parent) in DIRECTORIES_OF_DEVICES:
            node.parent.rmdir()
    # What one wrote into the host's own places carries its level, and denies the next run's.
    for place in PROBED:
        if (place / ".probe").exists():
            (place / ".probe").unlink()


def everything(names: Iterable[str], *, write: bool, audit: Path | None) -> dict[str, Any]:
    """Start all stacks, look, and return what became of them; `audit` takes what is open in them."""
    clear()
    for volume, inside in KEPT.items():
        run("docker", "volume", "create", volume)
        where = Path(run("docker", "volume", "inspect", "-f", "{{.Mountpoint}}", volume).strip())
        for name in inside:
            (where / name).mkdir()
    said = {name: start(name, write=write) for name in stacks(names)}
    settle()
    if audit is not None:
        audit.write_text(json.dumps(audited(), indent=1, sort_keys=True))
    return looked_at(said)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("stack", nargs="*")
    parser.add_argument("--write", action="store_true", help="try to write as well, where it can do no harm")
    parser.add_argument("--audit", type=Path, help="write there what mcsctl audit finds in each service")
    arguments = parser.parse_args()
    if not run("docker", "images", "-q", IMAGE).strip():
        with tempfile.TemporaryDirectory() as tree:
            make_image(Path(tree) / "image")
    results = everything(arguments.stack, write=arguments.write, audit=arguments.audit)
    arguments.results.write_text(json.dumps(results, indent=1, sort_keys=True))
    clear()


if __name__ == "__main__":
    main()
