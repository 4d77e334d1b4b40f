"""The library of specs that ships with vspec."""
