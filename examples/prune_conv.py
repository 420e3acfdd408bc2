"""How many fields of a convolutional network go when the ℓ¹ norm of τ is penalised?

Three of ten, a third of the parameters, at no loss of accuracy. (A weight of 1.0 is too much: every
τ goes to the floor, and accuracy to 0.101.) The digits of scikit-learn, one seed, 15 epochs, 5 s a
run on one core:

    weight 0.0: 6 + 6 layers, 100% of the parameters, accuracy 0.983
    weight 0.1: 6 + 5 layers, 85% of the parameters, accuracy 0.980
    weight 0.3: 5 + 4 layers, 67% of the parameters, accuracy 0.986
"""

import logging
from functools import partial

from lightning import Trainer, seed_everything
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from tvl_lightning import AdaptivePruning, ChunkedClassifier, TauProjection, convolutional
from tvl_lightning.data import Digits
from tvl_lightning.penalties import L1

EPOCHS = 15
QUIET = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

for weight in (0.0, 0.1, 0.3):
    seed_everything(0, verbose=False)
    network = convolutional(*Digits.sizes, widths=(8, 16), fields=5)
    before = sum(parameter.numel() for parameter in network.parameters())
    scheduler = partial(CosineAnnealingLR, T_max=EPOCHS)
    module = ChunkedClassifier(network, {"l1": L1(weight)}, partial(Adam, lr=0.01), scheduler)
    callbacks = [TauProjection(), AdaptivePruning(epsilon=0.05)]
    trainer = Trainer("cpu", max_epochs=EPOCHS, callbacks=callbacks, **dict.fromkeys(QUIET, False))
    trainer.fit(module, datamodule=Digits())
    [test] = trainer.test(module, datamodule=Digits(), verbose=False)
    share = sum(parameter.numel() for parameter in network.parameters()) / before
    stages = " + ".join(map(str, network.stage_sizes))
    accuracy = test["test/acc"]
    print(
        f"weight {weight}: {stages} layers, {share:.0%} of the parameters, accuracy {accuracy:.3f}"
    )
