"""The commands, one per file. Each imports the compiler and the runtime only inside its function."""
