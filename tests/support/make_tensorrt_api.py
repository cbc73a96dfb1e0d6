"""Write tensorrt_api.json: for each release of TensorRT, which of the names that our code uses it has.

    python -m tests.support.make_tensorrt_api FOLDER

FOLDER holds one JSON file for each release, `{"version": "10.3.0", "<class>": ["<name>", ...], ...}`: `dir()` of every
class of that release's bindings, which import over the libraries of `stub_nvinfer.c` on any machine. Run it again
when the code uses a name that it did not use before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.tensorrt_names import API_FILE, used_names


def main(folder: Path) -> None:
    releases = {}
    for path in sorted(folder.glob("*.json")):
        api = json.loads(path.read_text(encoding="utf-8"))
        releases[api["version"]] = {
            name: sorted(members & set(api[name])) for name, members in sorted(used_names().items()) if name in api
        }
    API_FILE.write_text(json.dumps(releases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
