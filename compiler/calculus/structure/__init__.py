"""What an objective's form tells of special methods: terms, exact minima of blocks of params, proximal maps."""
