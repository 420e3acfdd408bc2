"""Images that live on the training device."""

from tvl_lightning.data.batches import Batches, Block, Shuffle
from tvl_lightning.data.image_data import ImageData

__all__ = ["Batches", "Block", "ImageData", "Shuffle"]
