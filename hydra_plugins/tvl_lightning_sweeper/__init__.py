"""The sweeper of tvl_lightning, as a plugin of Hydra."""
