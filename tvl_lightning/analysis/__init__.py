"""Reads run directories; never trains."""
