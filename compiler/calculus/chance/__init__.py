"""Expectations: random variables in the graph, how each is evaluated, and estimates whose derivatives are unbiased."""
