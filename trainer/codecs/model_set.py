"""From a dataset's name to a model set that a link can run: the honest codec at every rate asked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.progress import Progress

from engines.image_encoder import ImageEncoder
from engines.modelset import CodecEntry, CodecRateEntry, ModelSet
from semlink.channel import ChannelModel, default_num_pilots
from semlink.errors import ModelSetError
from semlink.rates import Rate, parse_rate
from trainer.cache import cache_folder
from trainer.codecs.training import CodecTraining, TrainedCodec
from trainer.datasets import open_dataset
from trainer.evaluation.grid import train_all
from trainer.evaluation.run import training_features
from trainer.modelset_writer import graph_file, set_codec, set_encoder

__all__ = ["train_model_set"]


def train_model_set(
    out: Path,
    *,
    data: str,
    rates: Sequence[Rate],
    model_set: str,
    channel: Literal["awgn", "rayleigh"],
    seed: int,
    epochs: int,
    precision: Literal["bf16", "fp32"],
    num_jobs: int,
    runs: Path | None,
    progress: Progress,
) -> ModelSet:
    """Train `kbsc` at every rate and write encoder, codec and manifest to `out`.

    An `out` that is the encoder's own folder gets the codec added, or replaced with all its rates.

    Raises
    ------
    ModelSetError
        If `out` is another model set, or cannot be made; nothing is trained then.
    """
    source = ModelSet.find(model_set)
    is_own = out.is_dir() and out.samefile(source.folder)
    if not is_own and (out / "manifest.json").exists():
        raise ModelSetError(f"{out}: is a model set already; name a new folder, or the encoder's own")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelSetError(f"{out}: {error.strerror}") from None
    encoder = ImageEncoder(source, num_threads=num_jobs)
    learning = training_features(open_dataset(data, progress=progress), encoder, progress)
    trainings = [
        CodecTraining(
            codec="kbsc",
            num_symbols=rate.num_symbols,
            channel=channel,
            seed=seed,
            num_pilots=default_num_pilots(ChannelModel(channel)),
            epochs=epochs,
            precision=precision,
        )
        for rate in rates
    ]
    trained = train_all(trainings, learning, runs or cache_folder("runs"), num_jobs=num_jobs, progress=progress)
    if not is_own:
        shutil.copyfile(source.encoder_path, out / source.manifest.encoder.graph.file)
        set_encoder(out, source.manifest.encoder)
    entry = CodecEntry(
        name="kbsc",
        rates=[_place(codec, out) for codec in trained],
        licence="Apache-2.0",
        training_data=f"{learning.source}; {channel}, seed {seed}",
    )
    set_codec(out, entry)
    return ModelSet(out)


def _place(codec: TrainedCodec, out: Path) -> CodecRateEntry:
    rate = parse_rate(str(codec.training.num_symbols))
    files = {}
    for half, path in (("encoder", codec.encoder_path), ("decoder", codec.decoder_path)):
        name = f"codec-{rate.num_symbols}.{half}.onnx"
        shutil.copyfile(path, out / name)
        files[half] = graph_file(out / name)
    measured = {"validation_accuracy": max(codec.validation_accuracy), "best_epoch": float(codec.best_epoch)}
    return CodecRateEntry(rate.num_symbols, files["encoder"], files["decoder"], measured)
