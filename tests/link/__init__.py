"""Real TLS servers on one side, the firmware in its interpreter on the other."""
