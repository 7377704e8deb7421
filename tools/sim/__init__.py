"""The virtual house: the real firmware, with everything around it as a model."""
