"""Cryptography, rank 1: nothing is imported before it is used."""
