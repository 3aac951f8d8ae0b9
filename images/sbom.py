"""What is in this image, as a CycloneDX bill of materials: Python distributions and Debian packages with version and license."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path


def python_components():
    for found in importlib.metadata.distributions():
        name, version = found.metadata["Name"], found.version
        component = {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"}
        license_text = found.metadata.get("License-Expression") or (found.metadata.get("License") or "").split("\n")[0]
        if license_text and len(license_text) < 100:
            component["licenses"] = [{"license": {"name": license_text}}]
        yield component


def debian_components():
    listing = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\n"], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        name, version, architecture = line.split("\t")
        yield {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}"}


def bill():
    components = sorted([*python_components(), *debian_components()], key=lambda c: c["purl"])
    release = dict(line.rstrip().split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "vadose", "description": f"{release['PRETTY_NAME'].strip(chr(34))}, Python {sys.version.split()[0]}"}},
        "components": components,
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    sys.stdout.write(os.linesep)
