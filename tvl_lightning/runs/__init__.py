"""Run directories: named, resumed, read and drawn. Nothing here trains."""
