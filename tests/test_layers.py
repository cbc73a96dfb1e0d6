"""Dependencies run one way, and each end starts without what only the other needs."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from pathlib import Path

import pytest

from tests.support.processes import run_python

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]

# Import every module named after "--"; whoever asks for a blocked one, however deep, gets an ImportError.
IMPORTER = """
import importlib, importlib.abc, sys

split = sys.argv.index("--")
blocked, modules = set(sys.argv[1:split]), sys.argv[split + 1:]

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is blocked in this process")

sys.meta_path.insert(0, Blocker())
failures = []
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError as error:
        failures.append(f"{module}: {error}")
print("\\n".join(failures))
sys.exit(bool(failures))
"""


def modules_of(package: str) -> list[str]:
    """A package and everything in it, by name; imports the package itself but none of its modules."""
    names = [package]
    for module in pkgutil.iter_modules([str(ROOT / package.replace(".", "/"))], prefix=f"{package}."):
        names += modules_of(module.name) if module.ispkg else [module.name]
    # Importing it runs the command line.
    return [name for name in names if not name.endswith(".__main__")]


def import_with_blocked(packages: list[str], blocked: list[str]) -> None:
    present = [package for package in packages if (ROOT / package.replace(".", "/") / "__init__.py").is_file()]
    if not present:
        pytest.skip(f"{', '.join(packages)}: not in this tree")
    modules = [module for package in present for module in modules_of(package)]
    result = run_python("-c", IMPORTER, *blocked, "--", *modules, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("packages", "blocked"),
    [
        pytest.param(
            ["semlink", "engines", "edge_tx"],
            ["torch", "faiss", "sklearn", "skimage", "matplotlib", "edge_rx", "trainer"],
            id="transmitter",
        ),
        pytest.param(["edge_rx"], ["torch", "sklearn", "skimage", "matplotlib", "edge_tx", "trainer"], id="receiver"),
        pytest.param(["trainer.datasets", "trainer.demo"], ["torch"], id="demo"),
        # The contract alone: not even an inference engine.
        pytest.param(
            ["semlink"], ["torch", "faiss", "onnx", "onnxruntime", "engines", "edge_tx", "edge_rx"], id="contract"
        ),
    ],
)
def test_imports_without(packages: list[str], blocked: list[str]) -> None:
    import_with_blocked(packages, blocked)


def test_the_block_blocks() -> None:
    """Else the test above would prove nothing."""
    result = run_python("-c", IMPORTER, "numpy", "--", "semlink.iq", cwd=ROOT)
    assert result.returncode == 1
    assert "semlink.iq: numpy is blocked" in result.stdout


def test_imports_are_inert() -> None:
    """No thread, socket, or file of ours is opened by importing the transmitter."""
    modules = [module for package in ("semlink", "engines", "edge_tx") for module in modules_of(package)]
    code = (
        "import importlib, os, sys, threading\n"
        "opened = []\n"
        "def watch(event, args):\n"
        "    if event == 'socket.bind' or event == 'socket.connect' or event == 'subprocess.Popen':\n"
        "        opened.append(event)\n"
        "    if event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+'):\n"
        "        if not str(args[0]).endswith('.pyc') and '__pycache__' not in str(args[0]):\n"
        "            opened.append(str(args[0]))\n"
        "sys.addaudithook(watch)\n"
        "for module in sys.argv[1:]: importlib.import_module(module)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert not opened, opened\n"
    )
    result = run_python("-c", code, *modules, cwd=ROOT)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(importlib.util.find_spec("importlinter") is None, reason="import-linter is not installed here")
def test_import_linters_contracts_hold() -> None:
    result = run_python(Path(sys.executable).parent / "lint-imports", "--no-cache", cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
