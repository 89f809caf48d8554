"""Networks have the sizes asked for; scaling keeps strong channels strong and can be undone."""

import pytest
import torch
from torch import nn

from probspec.nets.layers import Scaling, mlp


@pytest.mark.parametrize("sizes", [(3, 2), (3, 8, 2), (3, 8, 5, 2)])
def test_sizes(sizes):
    net = mlp(sizes)
    assert net(torch.ones(4, 7, 3)).shape == (4, 7, 2)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == list(sizes[:-1])
    assert len(net) == 2 * len(linear) - 1 and isinstance(net[-1], nn.Linear)


def test_the_activation_lies_between_layers():
    assert [type(layer) for layer in mlp([3, 8, 8, 2], nn.Tanh)][1::2] == [nn.Tanh, nn.Tanh]


def test_the_last_layer_is_scaled_as_told():
    x = torch.randn(5, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = mlp([3, 8, 2])
        torch.manual_seed(0)
        half = mlp([3, 8, 2], last=0.5)
    assert torch.allclose(half(x), 0.5 * whole(x), atol=1e-6)


def test_a_network_that_starts_at_zero_learns():
    net = mlp([3, 8, 2], last=0.0)
    net(torch.ones(5, 3)).square().sum().backward()
    (net(torch.ones(5, 3)) - 1).square().sum().backward()
    assert net[-1].weight.grad.abs().sum() > 0


class TestScaling:
    def spectra(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return 50 + torch.randn(200, 3, generator=generator) * torch.tensor([10.0, 1.0, 0.1])

    def test_unit_mean_square(self):
        scaling, x = Scaling(3), self.spectra()
        scaling.fit(x)
        assert torch.allclose(scaling(x).mean(0), torch.zeros(3), atol=1e-4)
        assert scaling(x).square().mean().item() == pytest.approx(1, rel=1e-4)

    def test_strong_channels_stay_strong(self):
        scaling, x = Scaling(3), self.spectra()
        scaling.fit(x)
        before, after = x.std(0), scaling(x).std(0)
        assert torch.allclose(before / before[0], after / after[0], rtol=1e-4)

    def test_it_can_be_undone(self):
        scaling, x = Scaling(3), self.spectra()
        scaling.fit(x)
        assert torch.allclose(scaling.inverse(scaling(x)), x, atol=1e-4)

    def test_equal_spectra_stay_finite(self):
        scaling = Scaling(3)
        scaling.fit(torch.ones(5, 3))
        assert torch.equal(scaling(torch.ones(5, 3)), torch.zeros(5, 3))

    def test_it_is_saved(self):
        scaling, other = Scaling(3), Scaling(3)
        scaling.fit(self.spectra())
        other.load_state_dict(scaling.state_dict())
        assert torch.equal(other(self.spectra()), scaling(self.spectra()))
