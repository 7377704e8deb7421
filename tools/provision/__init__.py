"""`inkan-provision`: gives an empty module its identity, factory credential, language and host kind."""
