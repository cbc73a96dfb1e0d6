"""The trainer's channels do what the link's do, on the same draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs semlink[train]")

from edge_rx.equalizer import equalize_phase  # noqa: E402
from semlink.channel import ChannelModel, apply_channel, complex_normal, pilot_symbols  # noqa: E402
from semlink.errors import ConfigError  # noqa: E402
from semlink.iq import normalize_power, pair_latent  # noqa: E402
from semlink.paper_channel import paper_channel  # noqa: E402
from trainer.codecs.channel import equalize_phase as equalize_torch  # noqa: E402
from trainer.codecs.channel import honest_channel, to_symbols  # noqa: E402
from trainer.codecs.channel import paper_channel as paper_channel_in_torch  # noqa: E402


def generator(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def test_symbols_are_those_of_the_transmitter() -> None:
    latent = torch.randn(7, 128, generator=generator())
    expected = normalize_power(pair_latent(latent.numpy()))
    np.testing.assert_allclose(to_symbols(latent).numpy(), expected, atol=1e-6)


def test_equalizer_is_that_of_the_receiver() -> None:
    rng = np.random.default_rng(0)
    sent = np.concatenate([np.broadcast_to(pilot_symbols(8), (5, 8)), complex_normal((5, 64), rng)], axis=1)
    received = apply_channel(sent, ChannelModel.RAYLEIGH, snr_db=3.0, rng=rng).symbols
    expected = equalize_phase(received, num_pilots=8)
    np.testing.assert_allclose(equalize_torch(torch.from_numpy(received), 8).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("snr_db", [-7.0, 0.0, 10.0])
def test_noise_has_the_power_of_the_snr(snr_db: float) -> None:
    latent = torch.randn(200, 512, generator=generator())
    received = honest_channel(latent, ChannelModel.AWGN, snr_db=snr_db, num_pilots=0, generator=generator(1))
    sent = torch.view_as_real(to_symbols(latent)).reshape(200, 512)
    noise = (received - sent).numpy()
    # 102,400 reals: the standard error of a variance is 0.44 %, and five of them is the tolerance.
    assert noise.var() == pytest.approx(10 ** (-snr_db / 10) / 2, rel=0.022)


def test_an_image_is_not_touched_by_its_neighbours() -> None:
    latent = torch.randn(4, 64, generator=generator())
    other = latent.clone()
    other[1:] *= 100.0
    first = [
        honest_channel(x, ChannelModel.AWGN, snr_db=5.0, num_pilots=0, generator=generator(2))[0]
        for x in (latent, other)
    ]
    torch.testing.assert_close(first[0], first[1])


def test_published_channel_mixes_images_as_paper_channel_in_torch() -> None:
    latent = torch.randn(4, 64, generator=generator())
    other = latent.clone()
    other[1:] *= 100.0
    first = [
        paper_channel_in_torch(x, ChannelModel.AWGN, snr_db=5.0, generator=generator(2))[0] for x in (latent, other)
    ]
    assert (first[0] - first[1]).abs().max() > 1.0


@pytest.mark.parametrize("model", [ChannelModel.AWGN, ChannelModel.RAYLEIGH])
def test_published_channel_has_the_statistics_of_its_numpy_twin(model: ChannelModel) -> None:
    latent = torch.randn(400, 256, generator=generator()) * 3.0
    ours = paper_channel_in_torch(latent, model, snr_db=0.0, generator=generator(3)).numpy()
    twin = paper_channel(latent.numpy(), model, snr_db=0.0, rng=np.random.default_rng(3))
    assert (ours - latent.numpy()).std() == pytest.approx((twin - latent.numpy()).std(), rel=0.02)
    assert np.corrcoef(ours.ravel(), latent.numpy().ravel())[0, 1] == pytest.approx(
        np.corrcoef(twin.ravel(), latent.numpy().ravel())[0, 1], abs=0.01
    )


def test_gradients_reach_the_encoder_through_a_fading_channel() -> None:
    latent = torch.randn(3, 64, generator=generator(), requires_grad=True)
    honest_channel(
        latent, ChannelModel.RAYLEIGH, snr_db=0.0, num_pilots=8, generator=generator(4)
    ).square().sum().backward()
    assert latent.grad is not None
    assert torch.isfinite(latent.grad).all()
    assert latent.grad.abs().max() > 0


def test_channels_that_cannot_be_trained_on_are_named() -> None:
    latent = torch.randn(3, 64, generator=generator())
    with pytest.raises(ConfigError, match="rayleigh-fast"):
        honest_channel(latent, ChannelModel.RAYLEIGH_FAST, snr_db=0.0, num_pilots=0, generator=generator())
    with pytest.raises(ConfigError, match="ideal"):
        paper_channel_in_torch(latent, ChannelModel.IDEAL, snr_db=0.0, generator=generator())
