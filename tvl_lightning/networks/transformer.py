"""A transformer: attention and perceptron as fields of their own, each with its τ."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.convolutional import image_shape
from tvl_lightning.networks.network import TimeVariableNetwork
from tvl_lightning.networks.perceptron import Rule
from tvl_lightning.networks.schemes import Euler, Scheme
from tvl_lightning.networks.time_steps import Learned


class PatchEmbedding(nn.Module):
    """Cuts an image into patches, and gives each a linear image and a learned position.

    Args:
        in_shape: (channels, height, width) of an image.
        width: size of a token.
        patch: edge of a patch.
    """

    def __init__(self, in_shape: Sequence[int], width: int, patch: int) -> None:
        super().__init__()
        channels, h, w = image_shape(in_shape)
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (h // patch) * (w // patch), width))

    def forward(self, y: Tensor) -> Tensor:
        """Map (B, C, H, W) to tokens (B, H W / patch², width)."""
        return self.patches(y).flatten(2).mT + self.position  # type: ignore[no-any-return]


class AttentionField(nn.Module):
    """Normalisation and multi-head self-attention on tokens (B, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, y: Tensor) -> Tensor:
        """Map (B, tokens, width) to the same shape."""
        y = self.norm(y)
        return self.attention(y, y, y, need_weights=False)[0]  # type: ignore[no-any-return]


class TokenField(nn.Sequential):
    """Normalisation and a perceptron of four times the width on each token."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )


class MeanDecoder(nn.Module):
    """Normalisation, the mean over the tokens, a linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, y: Tensor) -> Tensor:
        """Map (B, tokens, width) to (B, classes)."""
        return self.linear(self.norm(y).mean(1))  # type: ignore[no-any-return]


def transformer(
    in_shape: Sequence[int],
    classes: int,
    patch: int = 7,
    width: int = 64,
    heads: int = 4,
    blocks: int = 6,
    horizon: float = 1.0,
    field: Callable[[int], nn.Module] | None = None,
    scheme: Scheme | None = None,
    tau: Rule = Learned,
) -> TimeVariableNetwork:
    """A vision transformer in one stage: patches, then attention and perceptron in turn.

    After Dosovitskiy et al., An image is worth 16x16 words (2021), with the mean in place of a
    class token. A transformer as steps of an ordinary differential equation: Lu et al. (2019).

    Args:
        in_shape: (channels, height, width) of an image.
        classes: number of outputs.
        patch: edge of a patch, which divides height and width.
        width: size of a token, which `heads` divides.
        heads: of each attention.
        blocks: attentions, each followed by a perceptron: 1 + 2 blocks layers.
        horizon: the time horizon T > 0.
        field: `field(width)` makes what stands in place of each perceptron.
        scheme: Euler's method where it is None.
        tau: makes the time steps.

    Raises:
        InputError: for a size below 1, T <= 0, or sizes that do not divide each other.
    """
    check("sizes", in_shape=in_shape, classes=classes)
    check(
        "transformer",
        patch=patch,
        width=width,
        heads=heads,
        blocks=blocks,
        horizon=horizon,
    )
    _, h, w = image_shape(in_shape)
    if h % patch or w % patch:
        raise InputError(f"patch={patch}: must divide the images' {h} x {w}")
    if width % heads:
        raise InputError(f"heads={heads}: must divide the width, {width}")
    make = field or TokenField
    fields: list[nn.Module] = [PatchEmbedding(in_shape, width, patch)]
    for _ in range(blocks):
        fields += [AttentionField(width, heads), make(width)]
    return TimeVariableNetwork(
        [fields], MeanDecoder(width, classes), scheme or Euler(), tau, horizon
    )
