"""A convolutional network: a stage for each resolution."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.network import TimeVariableNetwork
from tvl_lightning.networks.perceptron import Activation, Rule, activation_of
from tvl_lightning.networks.schemes import Euler, Scheme
from tvl_lightning.networks.time_steps import Learned


class ConvField(nn.Module):
    """F(y) = σ(N(K * y)): a 3×3 convolution, batch normalisation, an activation.

    Args:
        in_channels: channels of a state that enters.
        out_channels: channels of what comes out.
        activation: σ, see `activation_of`.
        stride: 2 halves height and width.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation = "ReLU",
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = activation_of(activation, dims=4)

    def forward(self, y: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return self.activation(self.norm(self.conv(y)))  # type: ignore[no-any-return]


def convolutional(
    in_shape: Sequence[int],
    classes: int,
    widths: Sequence[int] = (16, 32, 64),
    fields: int = 3,
    horizon: float = 1.0,
    activation: Activation = "ReLU",
    field: Callable[[int], nn.Module] | None = None,
    scheme: Scheme | None = None,
    tau: Rule = Learned,
) -> TimeVariableNetwork:
    """Stages of convolutional fields; the lift of each but the first halves height and width.

    The stages follow He et al., Deep residual learning for image recognition (2016), Section 4.2.

    Args:
        in_shape: (channels, height, width) of an image.
        classes: number of outputs.
        widths: the number of channels of each stage.
        fields: the number of fields in each stage, beside its lift.
        horizon: the time horizon T > 0, over all stages.
        activation: σ of each layer, see `activation_of`.
        field: `field(channels)` makes a field (B, channels, H, W) -> the same of one's own.
        scheme: Euler's method where it is None.
        tau: makes the time steps.

    Raises:
        InputError: for a size below 1, T <= 0, or an input that is no image.
    """
    check("sizes", in_shape=in_shape, classes=classes)
    check(
        "convolutional",
        widths=widths,
        fields=fields,
        horizon=horizon,
    )
    channels = image_shape(in_shape)[0]

    def conv(width: int) -> nn.Module:
        return ConvField(width, width, activation)

    make = field or conv
    stages: list[list[nn.Module]] = []
    for width in widths:
        lift = ConvField(channels, width, activation, stride=2 if stages else 1)
        stages.append([lift, *(make(width) for _ in range(fields))])
        channels = width
    decoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return TimeVariableNetwork(stages, decoder, scheme or Euler(), tau, horizon)


def image_shape(in_shape: Sequence[int]) -> tuple[int, int, int]:
    """(channels, height, width).

    Raises:
        InputError: for data of another shape.
    """
    if len(in_shape) != 3:
        raise InputError(
            f"in_shape={list(in_shape)}: must be (channels, height, width) for this model; "
            "model=resnet takes any shape"
        )
    channels, height, width = in_shape
    return channels, height, width
