"""Every limit, timeout and UUID, each with its unit in its name."""
