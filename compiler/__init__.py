"""The compiler: one spec in, one JAX program out. `pipeline.py` names the stages in order."""
