"""The sweeper of studies, as a plugin of Hydra."""
