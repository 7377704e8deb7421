"""The power side of the virtual house: the house and its sun, and the power control device that measures it."""
