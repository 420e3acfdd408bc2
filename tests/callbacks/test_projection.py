from typing import Any

import pytest
import torch
from lightning import Callback, Trainer

from tests.callbacks.conftest import Fit, fractional
from tvl_lightning.callbacks import TauProjection
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableResNet
from tvl_lightning.regularizers import L1


class Watch(Callback):
    def __init__(self) -> None:
        self.taus: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.taus.append(pl_module.tau.detach().clone())


def test_positive_projection_holds_after_every_step(fit: Fit) -> None:
    watch = Watch()
    strong = {"l1": L1(5.0)}
    fit(TauProjection("positive", eps=0.01), watch, network=fractional(), penalties=strong)
    taus = torch.stack(watch.taus)
    assert len(taus) == 18
    assert (taus >= 0.01).all()
    assert (taus == 0.01).any()


def test_without_projection_the_same_run_leaves_the_set(fit: Fit) -> None:
    watch = Watch()
    fit(watch, network=fractional(), penalties={"l1": L1(5.0)})
    assert (torch.stack(watch.taus) < 0.01).any()


def test_simplex_projection_keeps_the_sum_at_the_horizon(fit: Fit) -> None:
    watch = Watch()
    network = TimeVariableResNet(784, 10, 5, 10, horizon=2.0)
    fit(TauProjection("simplex", eps=1e-3, horizon=2.0), watch, network=network)
    taus = torch.stack(watch.taus)
    torch.testing.assert_close(taus.sum(1), torch.full((18,), 2.0))
    assert (taus >= 1e-3).all()
    assert (taus[-1] != taus[0]).any()


def test_the_computed_last_step_of_final_is_left_alone(fit: Fit) -> None:
    watch = Watch()
    network = TimeVariableResNet(784, 10, 3, 10, tau={"rule": "final", "initial": [0.9, 0.2, -0.1]})
    fit(TauProjection("positive", eps=0.3), watch, network=network)
    taus = torch.stack(watch.taus)
    assert (taus[:, :-1] >= 0.3).all()
    assert (taus[:, -1] < 0).any()
    torch.testing.assert_close(taus.sum(1), torch.ones(18))


@pytest.mark.parametrize("rule", ["simplex", "fixed"])
def test_steps_without_free_entries_pass_through(fit: Fit, rule: str) -> None:
    watch = Watch()
    network = TimeVariableResNet(784, 10, 5, 10, tau=rule)
    fit(TauProjection("positive", eps=0.01), watch, network=network)
    torch.testing.assert_close(watch.taus[-1].sum(), torch.tensor(1.0))


def test_what_cannot_be_projected_is_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match="needs tau=learned"):
        fit(TauProjection("simplex"), network=TimeVariableResNet(784, 10, 5, 10, tau="final"))
    with pytest.raises(InputError, match=r"projection\.eps=0\.5: must be at most 0\.2"):
        fit(TauProjection("simplex", eps=0.5))
    with pytest.raises(InputError, match="must be positive or simplex"):
        TauProjection("box")
