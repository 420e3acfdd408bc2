"""How many of twelve layers does a ResNet of width 16 need for two moons?

Three, once the ℓ¹ norm of τ is penalised enough. One seed, 20 epochs, 2 s a run on one core:

    weight 0.0: 11 layers, accuracy 0.998
    weight 0.003: 10 layers, accuracy 1.000
    weight 0.01: 8 layers, accuracy 1.000
    weight 0.03: 3 layers, accuracy 1.000
"""

import logging
from functools import partial

import torch
from lightning import Trainer, seed_everything
from sklearn.datasets import make_moons
from torch.optim import Adam

from tvl_lightning import AdaptivePruning, ChunkedClassifier, perceptron
from tvl_lightning.data import Dataset, Samples, Sizes, TensorData
from tvl_lightning.penalties import L1


class Moons(TensorData):
    """Two half circles in the plane, with noise."""

    sizes = Sizes(in_shape=(2,), classes=2)

    def load(self) -> Dataset:
        points, labels = make_moons(2500, noise=0.1, random_state=0)
        x, y = torch.tensor(points).float(), torch.tensor(labels)
        return Dataset(Samples(x[:2000], y[:2000]), Samples(x[2000:], y[2000:]), source="moons")


QUIET = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

for weight in (0.0, 0.003, 0.01, 0.03):
    seed_everything(0, verbose=False)
    network = perceptron(*Moons.sizes, width=16, hidden_layers=12)
    module = ChunkedClassifier(network, {"l1": L1(weight)}, partial(Adam, lr=0.01))
    pruning = AdaptivePruning(epsilon=0.03)
    trainer = Trainer("cpu", max_epochs=20, callbacks=[pruning], **dict.fromkeys(QUIET, False))
    trainer.fit(module, datamodule=Moons())
    [test] = trainer.test(module, datamodule=Moons(), verbose=False)
    print(f"weight {weight}: {len(network.layers)} layers, accuracy {test['test/acc']:.3f}")
