"""The paper: its setups, recognised in runs, its figures and its claims. Nothing imports it."""
