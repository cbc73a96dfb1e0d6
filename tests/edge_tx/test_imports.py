"""A transmitter's machine has no torch and no faiss: everything it runs must run without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from semlink.frame import unpack
from tests.support.processes import run_python

BLOCKED = ("torch", "faiss", "sklearn", "skimage", "matplotlib")

# Not found, as where they are not installed: libraries take None in sys.modules for a module that is there, and some
# look for torch without importing it, so that no finder may raise.
SCRIPT = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder
from pathlib import Path

folder, picture, *blocked = sys.argv[1:]

def find_spec(name, *args, find=PathFinder.find_spec):
    return None if name.partition(".")[0] in blocked else find(name, *args)

PathFinder.find_spec = find_spec

for package in ("semlink", "engines", "edge_tx"):
    importlib.import_module(package)
    for module in pkgutil.walk_packages(sys.modules[package].__path__, f"{package}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)

from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.model_set import ModelSet
from semlink.image import read_image
from semlink.rates import parse_rate

model = load_transmitter_model(ModelSet(Path(folder)), parse_rate("64"))
sent = []
transmitter = Transmitter(model, parse_rate("64"), sent.append)
transmitter.run_once(read_image(picture))
transmitter.end()
assert not set(blocked) & set(sys.modules), sorted(sys.modules)
print(*(data.hex() for data in sent))
"""


@pytest.mark.process
def test_an_image_is_sent_where_the_trainers_libraries_are_blocked(model_set: ModelSet, picture_folder: Path) -> None:
    picture = picture_folder / "boat" / "1.png"
    done = run_python("-c", SCRIPT, model_set.folder, picture, *BLOCKED)
    assert done.returncode == 0, done.stderr
    frame, end = (unpack(bytes.fromhex(data)) for data in done.stdout.split())
    assert frame.fingerprint == model_set.codec().fingerprint(frame.rate)
    assert (frame.rate.num_symbols, frame.source_height_px, frame.source_width_px) == (64, 10, 12)
    assert frame.codes.any()
    assert end.is_end_of_stream
    assert end.sequence == 1
