"""What the commands share: configuration, refusals, run folders, building the parts of a run."""
