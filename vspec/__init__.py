"""vspec: a compiler for variational problems."""
