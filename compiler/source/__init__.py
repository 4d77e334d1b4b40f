"""YAML text in, a document tree with positions out. Nothing after this stage knows YAML."""
