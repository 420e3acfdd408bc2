"""Pictures of step sizes: arrays in, pictures out. Needs numpy and matplotlib only."""
