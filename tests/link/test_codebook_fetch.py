"""Both ends as processes: a transmitter without a file gets the receiver's codebook, and follows its knowledge base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image

from edge_rx.kb.manifest import read_manifest
from engines.models.model_set import ModelSet
from tests.support.processes import RunningProcess, run_semlink, start_semlink
from tests.support.sockets import free_port

pytestmark = pytest.mark.process


class Site:
    """A receiver's folder of pictures and knowledge base, and a transmitter's list of pictures, with their addresses.

    The list is longer than a test is: whoever starts the transmitter ends it.
    """

    def __init__(self, models: ModelSet, picture_folder: Path, folder: Path) -> None:
        self.model_set = ("--model-set", models.folder)
        self.pictures = Path(shutil.copytree(picture_folder, folder / "pictures"))
        self.kb, self.results = folder / "KB", folder / "results"
        self.sent = folder / "sent.txt"
        self.sent.write_text("\n".join(map(str, sorted(picture_folder.rglob("*.png")))) * 10_000)
        self.frames, self.feedback = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        self.environment = {"SEMLINK_CACHE": str(folder / "cache")}

    @property
    def codebook(self) -> str:
        """SHA-256 of the newest codebook."""
        return read_manifest(self.kb).codebooks[0].sha256

    def build(self, *arguments: str) -> None:
        done = run_semlink("kb", "build", self.pictures, "--out", self.kb, *self.model_set, *arguments)
        assert done.returncode == 0, done.stderr

    def receive(self) -> RunningProcess:
        addresses = ("--listen", self.frames, "--feedback", self.feedback)
        return start_semlink("rx", "--kb", self.kb, *self.model_set, *addresses, "--results", self.results, "--json")

    def transmit(self, *arguments: object) -> RunningProcess:
        addresses = ("--connect", self.frames, "--feedback", self.feedback)
        options = ("--fps", 20, "--json", *arguments)
        return start_semlink("tx", self.sent, *self.model_set, *addresses, *options, environment=self.environment)

    def num_matches(self, codec: str) -> int:
        """Matches of a codec so far."""
        path = self.results / "results.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return sum(json.loads(line)["codec"] == codec for line in lines if line.endswith("\n"))


@pytest.fixture
def site(high_snr_models: ModelSet, picture_folder: Path, tmp_path: Path) -> Site:
    site = Site(high_snr_models, picture_folder, tmp_path)
    site.build()
    return site


def grows(count: Callable[[], int]) -> Callable[[], bool]:
    """Whether a count is larger than now."""
    start = count()
    return lambda: count() > start


def is_adapted(site: Site) -> Callable[[], bool]:
    """Whether a frame of `adapted` is answered from now on."""
    return grows(lambda: site.num_matches("adapted") + site.num_matches("adapted-high-snr"))


def test_plugging_it_in_is_enough(site: Site) -> None:
    """The first frames go out with the model set's codec, then the codebook arrives; a restart begins with it."""
    with site.receive() as rx:
        rx.read_endpoints()
        with site.transmit("-v") as tx:
            tx.until(is_adapted(site))
            sent = tx.interrupt()
        counts = json.loads(sent.stdout)["sent_by_codec"]
        assert set(counts) - {"adapted", "adapted-high-snr"}, "the first frames do not wait for it"
        assert f"fetching codebook {site.codebook[:12]}" in sent.stderr
        with site.transmit("-v") as tx:
            tx.until(is_adapted(site))
            again = tx.interrupt()
        assert "fetching" not in again.stderr
        assert f"loaded codebook {site.codebook[:12]}, from the cache" in again.stderr
        with site.transmit("--no-fetch-codebook") as tx:
            tx.until(grows(lambda: site.num_matches("synthetic-codec")))
            without = tx.interrupt()
        assert set(json.loads(without.stdout)["sent_by_codec"]) == {"synthetic-codec"}
        received = json.loads(rx.interrupt().stdout)
    assert received["frames_rejected"] == {}


def test_the_knowledge_base_is_built_again_under_a_running_link(site: Site) -> None:
    """Between two receivers the transmitter goes on with the old codebook, which the second one still decodes."""
    before = site.codebook
    with site.transmit("-v") as tx:
        with site.receive() as rx:
            tx.until(is_adapted(site))
            Image.new("RGB", (9, 9), (9, 200, 30)).save(site.pictures / "apple" / "new.png")
            site.build("--force")
            assert site.codebook != before
            assert json.loads(rx.interrupt().stdout)["frames_rejected"] == {}
        with site.receive() as rx:
            tx.read_message(f"loaded codebook {site.codebook[:12]}")
            tx.until(is_adapted(site))
            tx.interrupt()
            assert json.loads(rx.interrupt().stdout)["frames_rejected"] == {}
    assert {path.stem for path in Path(site.environment["SEMLINK_CACHE"], "codebooks").iterdir()} == {
        before,
        site.codebook,
    }


def test_a_receiver_without_a_reverse_path(site: Site) -> None:
    with start_semlink(
        "rx", "--kb", site.kb, *site.model_set, "--listen", site.frames, "--results", site.results, "--json"
    ) as rx:
        with site.transmit() as tx:
            tx.until(grows(lambda: site.num_matches("synthetic-codec")))
            done = tx.interrupt()
        assert set(json.loads(done.stdout)["sent_by_codec"]) == {"synthetic-codec"}
        assert json.loads(rx.interrupt().stdout)["frames_rejected"] == {}
