"""Store of built engines: beside the model set, for this machine only.

    ENGINES/<backend>-<precision>-<key>.engine        bytes of the backend's own kind
    ENGINES/<backend>-<precision>-<key>.json          sidecar: what it was built from, on and with, and its SHA-256
    ENGINES/<backend>-<precision>-<key>/              what a backend keeps by itself, with a sidecar too

The key is a digest of all that an engine depends on, so an engine of another graph, runtime version, processor or
precision is not found. One whose bytes differ from its sidecar is rebuilt, with a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.agreement import Verification
from semlink.errors import EngineError
from semlink.files import file_sha256, locked_file, replaced_file, write_json
from semlink.machine import now_utc

__all__ = ["BackendFolder", "EngineKey", "EngineStore", "StoredEngine"]

_log = logging.getLogger(__name__)


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that an engine depends on.

    Attributes
    ----------
    graph_sha256 : of the ONNX graph that it is built from, in hex
    backend : "onnx" for a rewritten graph, which any runtime may run, or the backend that builds engines
    version : of the backend
    device : name of the processor, such as "NVIDIA H200" or "x86_64 AVX2"; "any" if it does not matter
    precision : of the image encoder in the graph
    options : anything else, such as the style of int8, and the version of our own rewriting
    """

    graph_sha256: str
    backend: str
    version: str
    device: str
    precision: str
    options: str = ""

    @property
    def stem(self) -> str:
        """Name of the engine's files."""
        digest = hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
        return f"{self.backend}-{self.precision}-{digest}"


class StoredEngine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sidecar of an engine: its key, and a record of its build.

    Attributes
    ----------
    sha256, num_bytes : of the engine; of a backend's folder, of its engines, and of all that is in it
    built : when, UTC
    build_s : how long it took [s]
    verification : the last one of this engine on its processor
    """

    key: EngineKey
    sha256: str
    num_bytes: int
    built: str
    build_s: float
    verification: Verification | None = None


@dataclass(frozen=True)
class BackendFolder:
    """Folder in which a backend keeps the engines of one graph.

    Attributes
    ----------
    is_whole : whether the engines are built
    """

    path: Path
    is_whole: bool


class EngineStore:
    """A folder of engines.

    Parameters
    ----------
    folder : made when the first engine is built
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: EngineKey) -> Path:
        """The file of an engine, whether or not it was built."""
        return self.folder / f"{key.stem}.engine"

    def find(self, key: EngineKey) -> bytes | None:
        """An engine's bytes; None if it was not built, or, with a warning, if its files are damaged or foreign."""
        found = self._find(key)
        return None if found is None else found[1]

    def sidecar(self, key: EngineKey) -> StoredEngine | None:
        """The sidecar of an engine that `find` finds; else None."""
        found = self._find(key)
        return None if found is None else found[0]

    def verification(self, key: EngineKey) -> Verification | None:
        """The last verification of an engine; None if there was none since it was built, or it counts as not built."""
        stored = self.sidecar(key)
        return None if stored is None else stored.verification

    def record(self, key: EngineKey, verification: Verification) -> None:
        """Keep a verification beside its engine.

        Raises
        ------
        EngineError
            If the engine is not there any more, or the folder cannot be written.
        """
        with self._locked(key):
            found = self._find(key)
            if found is None:
                raise EngineError(f"{self.path(key)}: the engine that was verified is gone; build and verify it again")
            self._write_sidecar(msgspec.structs.replace(found[0], verification=verification))

    def _find(self, key: EngineKey) -> tuple[StoredEngine, bytes] | None:
        path = self.path(key)
        try:
            stored = msgspec.json.decode(self._sidecar_path(key).read_bytes(), type=StoredEngine)
            engine = path.read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s: cannot be read (%s), and counts as not built", path, error)
            return None
        if stored.key != key or hashlib.sha256(engine).hexdigest() != stored.sha256:
            _log.warning("%s: is not what was built (cut short, or altered), and counts as not built", path)
            return None
        return stored, engine

    def find_or_build(self, key: EngineKey, build: Callable[[], bytes], *, rebuild: bool = False) -> bytes:
        """An engine's bytes, built if need be; of two processes that need the same one, the second waits.

        Parameters
        ----------
        rebuild : build the engine even if the store has it; the old one stays until the new one is whole

        Raises
        ------
        EngineError
            If the folder cannot be written; whatever `build` raises.
        """
        if not rebuild and (engine := self.find(key)) is not None:
            return engine
        with self._locked(key):
            if not rebuild and (engine := self.find(key)) is not None:
                return engine
            self._warn_of_stale(key)
            return self._built(key, build)

    @contextlib.contextmanager
    def backend_folder(self, key: EngineKey, *, rebuild: bool = False) -> Iterator[BackendFolder]:
        """A folder for a backend that keeps its engines itself; no other process has it meanwhile.

        Engines of a build that was interrupted, engines that were altered, and those of a block that raised are deleted
        first.

        Raises
        ------
        EngineError
            If the folder cannot be written.
        """
        folder = self.folder / key.stem
        with self._locked(key):
            stored = None if rebuild else self._whole(folder, key)
            started_s = time.monotonic()
            if stored is None:
                self._warn_of_stale(key)
                _log.warning("building an engine for %s, once; this can take minutes", key.device)
                try:
                    self.discard(key)
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir(exist_ok=True)
                except OSError as error:
                    raise _cannot_keep(self.folder, error) from None
            try:
                yield BackendFolder(folder, is_whole=stored is not None)
            except BaseException:
                self.discard(key)
                raise
            sha256 = _engines_sha256(folder)
            if stored is None or stored.sha256 != sha256:
                num_bytes = sum(file.stat().st_size for file in folder.iterdir())
                self._write_sidecar(_built_now(key, sha256, num_bytes, started_s))

    def _whole(self, folder: Path, key: EngineKey) -> StoredEngine | None:
        """The sidecar of a backend's folder; None if it was not built, or, with a warning, if its files are others."""
        try:
            stored = msgspec.json.decode(self._sidecar_path(key).read_bytes(), type=StoredEngine)
            is_whole = stored.key == key and stored.sha256 == _engines_sha256(folder)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s: cannot be read (%s), and counts as not built", folder, error)
            return None
        if not is_whole:
            _log.warning("%s: is not what was built (cut short, or altered), and counts as not built", folder)
        return stored if is_whole else None

    @contextlib.contextmanager
    def _locked(self, key: EngineKey) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = locked_file(self.path(key).with_suffix(".lock"))
        except OSError as error:
            raise _cannot_keep(self.folder, error) from None
        with lock:
            yield

    def _warn_of_stale(self, key: EngineKey) -> None:
        """Warn that the store's engine of this graph is for another machine or version, so that one is built."""
        for other in (engine.key for engine in self.all()):
            is_same = all(
                getattr(other, name) == getattr(key, name) for name in ("graph_sha256", "backend", "precision")
            )
            if is_same and (other.version, other.device) != (key.version, key.device):
                _log.warning(
                    "an engine of this graph is for %s %s on %s; building one for %s on %s",
                    *(other.backend, other.version, other.device, key.version, key.device),
                )

    def discard(self, key: EngineKey) -> None:
        """Delete an engine that its backend refuses, so that it is rebuilt."""
        # An engine without its sidecar counts as not built.
        self._sidecar_path(key).unlink(missing_ok=True)

    def _built(self, key: EngineKey, build: Callable[[], bytes]) -> bytes:
        path, started_s = self.path(key), time.monotonic()
        engine = build()
        try:
            # The sidecar last: until then it does not fit the engine, which so counts as not built.
            with replaced_file(path, durable=True) as temporary:
                temporary.write_bytes(engine)
        except OSError as error:
            raise EngineError(f"{path}: the engine cannot be kept: {error.strerror}") from None
        self._write_sidecar(_built_now(key, hashlib.sha256(engine).hexdigest(), len(engine), started_s))
        return engine

    def _sidecar_path(self, key: EngineKey) -> Path:
        return self.path(key).with_suffix(".json")

    def _write_sidecar(self, stored: StoredEngine) -> None:
        path = self._sidecar_path(stored.key)
        try:
            write_json(path, stored, durable=True)
        except OSError as error:
            raise EngineError(f"{path}: the engine cannot be kept: {error.strerror}") from None

    def is_whole(self, key: EngineKey) -> bool:
        """Whether an engine's files are those that were built; if not, a warning says so."""
        folder = self.folder / key.stem
        return (self._whole(folder, key) if folder.is_dir() else self.find(key)) is not None

    def all(self) -> Iterator[StoredEngine]:
        """Every engine's sidecar that can be read, by name."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=StoredEngine)
            except (OSError, msgspec.MsgspecError) as error:
                _log.warning("%s: not an engine's sidecar (%s)", path, error)


def _built_now(key: EngineKey, sha256: str, num_bytes: int, started_s: float) -> StoredEngine:
    build_s = round(time.monotonic() - started_s, 3)
    return StoredEngine(key=key, sha256=sha256, num_bytes=num_bytes, built=now_utc(), build_s=build_s)


def _engines_sha256(folder: Path) -> str:
    """SHA-256 of the engines in a backend's folder; other files there, such as timings, may change."""
    names = sorted(folder.glob("*.engine"))
    return hashlib.sha256("".join(f"{name.name} {file_sha256(name)}\n" for name in names).encode()).hexdigest()


def _cannot_keep(folder: Path, error: OSError) -> EngineError:
    return EngineError(f"{folder}: engines cannot be kept: {error.strerror}; name a folder with --engines")
