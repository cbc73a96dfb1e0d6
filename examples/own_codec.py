"""A codec of your own in the evaluation, beside ours: python examples/own_codec.py

It sends the features' first principal directions as they are, and needs no training. As an entry point of the group
semlink.codecs it is also a value of `semlink evaluate --codec`:

    [project.entry-points."semlink.codecs"]
    principal = "my_package:principal"
"""

import numpy as np

from semlink.iq import normalize_power, pair_latent, unpair_symbols
from trainer.codecs.spec import CodecSpec
from trainer.evaluation import EvaluationConfig, evaluate
from trainer.links.base import Link
from trainer.links.retrieval import score_retrieval
from trainer.links.transmission import transmit_and_equalize


class PrincipalLink(Link):
    """The knowledge base's mean and principal directions, known to both ends."""

    def __init__(self, rate, entries):
        self.rate = rate
        self.mean = entries.mean(axis=0)
        _, _, directions = np.linalg.svd(entries - self.mean, full_matrices=False)
        self.directions = directions[: rate.latent_dim]

    def retrieve(self, noiseless, conditions, rng):
        """Project, send, project back, and search."""
        latent = (noiseless.features - self.mean) @ self.directions.T
        padded = np.pad(latent, ((0, 0), (0, self.rate.latent_dim - latent.shape[1])))
        symbols, _ = transmit_and_equalize(normalize_power(pair_latent(padded)), conditions, rng)
        received = unpair_symbols(symbols)[:, : len(self.directions)]
        lengths = np.linalg.norm(latent, axis=1).mean() / np.linalg.norm(received, axis=1).mean()
        query = self.mean + lengths * received @ self.directions
        return score_retrieval(query.astype(np.float32), noiseless)


def links(inputs):
    """Links of one evaluation: a function of (model, rate, seed)."""
    entries = inputs.noiseless.index.vectors(0, len(inputs.noiseless.index))
    return lambda model, rate, seed: PrincipalLink(rate, entries)


principal = CodecSpec(name="principal", summary="principal directions of the KB, uncoded", links=links)

if __name__ == "__main__":
    config = EvaluationConfig(data="digits", codecs=[principal, "nested"], rates=[64], num_seeds=2, limit=200)
    for cell in evaluate(config).summary_as_dicts():
        print(cell["codec"], cell["snr_db"], "dB:", round(cell["semantic_accuracy"], 3))
