"""The channel of arXiv 2504.01053 as published, beside the honest one."""

from __future__ import annotations

import numpy as np
import pytest

from semlink.channel import MAX_SNR_DB, ChannelModel, apply_channel
from semlink.errors import ConfigError
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.paper_channel import paper_channel

PAPER = (ChannelModel.AWGN, ChannelModel.RAYLEIGH)
NOISY = (*PAPER, ChannelModel.RAYLEIGH_FAST)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestPaperChannel:
    """The published shortcuts are in `paper_channel`, and nowhere else."""

    @staticmethod
    def ours(latent: np.ndarray, model: ChannelModel, seed: int = 0) -> Symbols:
        symbols = normalize_power(pair_latent(latent))
        return apply_channel(symbols, model, snr_db=0, rng=generator(seed)).symbols

    @staticmethod
    def papers(latent: np.ndarray, model: ChannelModel, seed: int = 0) -> np.ndarray:
        return paper_channel(latent, model, snr_db=0, rng=generator(seed))

    @pytest.mark.parametrize("model", PAPER)
    def test_changing_one_image_changes_another_only_in_the_papers(self, model: ChannelModel) -> None:
        batch = generator(1).standard_normal((2, 16)).astype(np.float32)
        changed = batch.copy()
        changed[1] *= 3.0
        # Same noise and gains in both runs: image 1 changes image 0 through the batch's power alone.
        assert (self.papers(batch, model)[0] != self.papers(changed, model)[0]).all()
        np.testing.assert_array_equal(self.ours(batch, model)[0], self.ours(changed, model)[0])

    @pytest.mark.parametrize("model", NOISY)
    def test_ours_treats_each_image_by_itself_whatever_the_batch(self, model: ChannelModel) -> None:
        batch = generator(1).standard_normal((4, 16)).astype(np.float32)
        reference = self.ours(batch, model)
        for changed_row in range(4):
            changed = batch.copy()
            changed[changed_row] = generator(2).standard_normal(16) * 10
            rows = [row for row in range(4) if row != changed_row]
            np.testing.assert_array_equal(self.ours(changed, model)[rows], reference[rows])

    def test_one_symbol_mixes_two_images(self) -> None:
        """In a batch of two, image 0 is all I and image 1 all Q, so a fade hits both alike."""
        latent = np.ones((2, 50_000), dtype=np.float32)
        received = paper_channel(latent, ChannelModel.RAYLEIGH, snr_db=MAX_SNR_DB, rng=generator())
        np.testing.assert_allclose(received[0], received[1], atol=1e-3)
        ours = self.ours(latent, ChannelModel.RAYLEIGH)
        assert np.abs(ours[0].mean() - ours[1].mean()) > 0.1

    def test_gains_are_real_and_positive(self) -> None:
        latent = np.ones((2, 50_000), dtype=np.float32)
        gains = paper_channel(latent, ChannelModel.RAYLEIGH, snr_db=MAX_SNR_DB, rng=generator())
        assert gains.min() > -1e-3
        assert np.mean(gains**2) == pytest.approx(1.0, rel=5 / np.sqrt(50_000))
        assert np.mean(gains) == pytest.approx(np.sqrt(np.pi) / 2, abs=5 / np.sqrt(50_000))

    def test_power_is_the_batchs_and_the_receiver_knows_it(self) -> None:
        """A quiet image among loud ones drowns: noise is scaled to the batch, and so is what comes back."""
        latent = np.concatenate([np.full((1, 20_000), 0.1), np.full((3, 20_000), 10.0)]).astype(np.float32)
        received = paper_channel(latent, ChannelModel.AWGN, snr_db=10, rng=generator())
        batch_power = 2 * np.mean(latent.astype(np.float64) ** 2)
        for row in range(4):
            noise = received[row] - latent[row]
            assert np.var(noise) == pytest.approx(batch_power * 0.1 / 2, rel=0.05)
            assert np.mean(received[row]) == pytest.approx(np.mean(latent[row]), abs=0.15)

    def test_snr_is_over_the_batch(self) -> None:
        latent = generator(1).standard_normal((100, 1000)).astype(np.float32)
        noise = paper_channel(latent, ChannelModel.AWGN, snr_db=4, rng=generator()) - latent
        measured_db = 10 * np.log10(np.mean(latent**2) / np.mean(noise**2))
        assert measured_db == pytest.approx(4, abs=0.1)

    def test_silence(self) -> None:
        received = paper_channel(np.zeros((2, 4), np.float32), ChannelModel.AWGN, snr_db=0, rng=generator())
        np.testing.assert_allclose(received, 0.0, atol=1e-12)

    @pytest.mark.parametrize("model", [ChannelModel.IDEAL, ChannelModel.RAYLEIGH_FAST])
    def test_other_models(self, model: ChannelModel) -> None:
        with pytest.raises(ConfigError, match=f'the paper has no channel "{model.value}"'):
            self.papers(np.ones((2, 4), np.float32), model)

    def test_odd_batch_of_odd_latents(self) -> None:
        with pytest.raises(ConfigError, match="even number of reals"):
            self.papers(np.ones((3, 3), np.float32), ChannelModel.AWGN)

    def test_bad_snr(self) -> None:
        with pytest.raises(ConfigError, match="snr_db"):
            paper_channel(np.ones((2, 4), np.float32), ChannelModel.AWGN, snr_db=float("nan"), rng=generator())
