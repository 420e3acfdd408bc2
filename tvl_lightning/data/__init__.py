"""Data sets as tensors that live on the training device, and batches of them."""

from tvl_lightning.data.batches import Batches, Chunk, Shuffle
from tvl_lightning.data.digits import Digits
from tvl_lightning.data.mnist import MNIST, FashionMNIST
from tvl_lightning.data.mnist_5k import MNIST5k
from tvl_lightning.data.samples import Dataset, Samples, Sizes
from tvl_lightning.data.tensor_data import TensorData

__all__ = [
    "MNIST",
    "Batches",
    "Chunk",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "MNIST5k",
    "Samples",
    "Shuffle",
    "Sizes",
    "TensorData",
]
