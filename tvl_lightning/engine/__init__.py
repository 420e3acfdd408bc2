"""What takes the training steps, and how fast."""

from tvl_lightning.engine.counting import take_over_step_count
from tvl_lightning.engine.engine import Engine
from tvl_lightning.engine.single_steps import needs_single_steps

__all__ = ["Engine", "needs_single_steps", "take_over_step_count"]
