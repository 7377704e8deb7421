"""`inkan-flash`: reads an image of the data partition by docs/format.md, and not by the firmware's code."""
