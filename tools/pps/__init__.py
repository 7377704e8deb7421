"""The PPS's server: credentials for modules, enrolment, the fleet's state, and the operators' console."""
