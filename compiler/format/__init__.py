"""Canonical formatting of specs: the same reading, the same comments, one layout."""
