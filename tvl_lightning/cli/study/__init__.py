"""A study: what Optuna proposes is trained, and Optuna is told what came out. Needs Optuna."""
